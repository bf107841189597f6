// The strip: what the pipeline does right now, from the statuses of its roles and the freshness of its boards.

import { clock, count, day, milliseconds } from "/page/format.js";

const LAGS_KEPT = 400;
const DROPS = ["dropped_frames_total", "dropped_events_total", "dropped_batches_total", "missing_batches_total"];
const WORKING = new Set(["Active", "Standby"]);

export class Pipeline {
  constructor(figure) {
    this.figure = figure;
    this.statuses = new Map();
    this.rates = new Map();
    this.lags = [];
    this.tickNs = 0;
  }

  seeStatus(name, status) {
    const before = this.statuses.get(name);
    this.statuses.set(name, status);
    const [events, earlier] = [status.figures.events_total, before?.figures.events_total];
    const seconds = before ? (status.updatedNs - before.updatedNs) / 1e9 : 0;
    if (events !== undefined && earlier !== undefined && events >= earlier && seconds > 0.2) {
      this.rates.set(name, { role: status.role, value: (events - earlier) / seconds });
    }
  }

  forget(name) {
    this.statuses.delete(name);
    this.rates.delete(name);
  }

  // A snapshot may be of any age: its lag says how long it lay at the gateway, not how fast the pipeline is.
  seeBoard(freshness, isUpdate) {
    if (!freshness) return;
    this.tickNs = freshness.tickNs;
    if (isUpdate && freshness.lagMilliseconds !== null) {
      this.lags.push(freshness.lagMilliseconds);
      if (this.lags.length > LAGS_KEPT) this.lags.splice(0, LAGS_KEPT / 2);
    }
  }

  // What listeners take in is what the provider sent; without one of them, what the analyzers applied.
  eventsPerSecond() {
    const rates = [...this.rates.values()];
    const listeners = rates.filter((rate) => rate.role === "listener");
    const counted = listeners.length ? listeners : rates.filter((rate) => rate.role === "analyzer");
    return counted.length ? counted.reduce((sum, rate) => sum + rate.value, 0) : null;
  }

  show({ boards, signals }) {
    if (this.tickNs) {
      const at = milliseconds(this.tickNs);
      const isToday = day(at) === day(Date.now());
      this.figure("tick", isToday ? clock(at) : `${day(at)} ${clock(at)}`);
    }
    const rate = this.eventsPerSecond();
    this.figure("events", rate === null ? "–" : count(Math.round(rate)));
    if (this.lags.length) {
      const sorted = [...this.lags].sort((a, b) => a - b);
      const lag = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))];
      this.figure("lag", lag < 10 ? `${lag.toFixed(1)} ms` : lag < 10000 ? `${Math.round(lag)} ms` : `${(lag / 1000).toFixed(0)} s`);
    }
    const statuses = [...this.statuses.values()];
    if (statuses.length) {
      const drops = statuses.reduce((sum, status) => sum + DROPS.reduce((all, name) => all + (status.figures[name] ?? 0), 0), 0);
      this.figure("drops", count(drops), drops > 0);
      const working = statuses.filter((status) => WORKING.has(status.phase)).length;
      const problems = statuses.flatMap((status) => status.problems);
      const text = working === statuses.length ? `${working} up` : `${working} of ${statuses.length} up`;
      this.figure("roles", text, working < statuses.length || problems.length > 0, problems.join("\n"));
    }
    this.figure("boards", count(boards));
    this.figure("signals", count(signals));
  }
}
