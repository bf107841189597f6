// What has just happened, newest first, with the reason why.

import { clock, day, format, milliseconds } from "/page/format.js";

const SHOWN = 100;
const FLASH_MS = 400;

export class Signals {
  constructor(list, empty, onSymbol) {
    this.list = list;
    this.empty = empty;
    this.onSymbol = onSymbol;
    this.known = new Set();
    this.total = 0;
  }

  // Snapshots of several scanners arrive one after the other: each signal goes to its place in time.
  add(signal, isNews) {
    const identity = `${signal.signalId} ${signal.evaluatedNs}`; // the same id is evaluated anew in another run
    if (this.known.has(identity)) return false;
    this.known.add(identity);
    this.total += 1;
    this.empty.hidden = true;
    const node = this.render(signal);
    const after = [...this.list.children].find((child) => Number(child.dataset.tick) <= signal.tickNs);
    this.list.insertBefore(node, after ?? null);
    while (this.list.children.length > SHOWN) this.list.lastElementChild.remove();
    if (this.known.size > 20 * SHOWN) this.known = new Set([...this.known].slice(-10 * SHOWN));
    if (isNews) {
      node.classList.add("flash-new");
      setTimeout(() => node.classList.remove("flash-new"), FLASH_MS);
    }
    return true;
  }

  render(signal) {
    const node = document.createElement("li");
    node.dataset.tick = signal.tickNs;
    const at = milliseconds(signal.tickNs);
    const time = document.createElement("time");
    time.dateTime = new Date(at).toISOString();
    time.textContent = clock(at);
    time.title = `${day(at)} ${clock(at)}`;
    const symbol = document.createElement("button");
    Object.assign(symbol, { type: "button", className: "symbol", textContent: signal.symbol });
    symbol.onclick = () => this.onSymbol(signal.market, signal.symbol);
    const price = document.createElement("span");
    price.textContent = format("price", signal.price);
    const why = document.createElement("span");
    why.className = "scanner";
    why.textContent = signal.explanation ? `${signal.scanner}: ${signal.explanation}` : signal.scanner;
    node.append(time, symbol, price, why);
    return node;
  }
}

export class Chime {
  constructor(button) {
    this.on = false;
    button.onclick = () => {
      this.on = !this.on;
      button.textContent = this.on ? "Sound on" : "Sound off";
      button.setAttribute("aria-pressed", String(this.on));
      if (this.on) this.ring();
    };
  }

  ring() {
    if (!this.on) return;
    this.context ??= new AudioContext();
    const now = this.context.currentTime;
    if (now - (this.last ?? -1) < 0.4) return;
    this.last = now;
    const [tone, volume] = [this.context.createOscillator(), this.context.createGain()];
    tone.frequency.value = 880;
    volume.gain.setValueAtTime(0.12, now);
    volume.gain.exponentialRampToValueAtTime(0.001, now + 0.25);
    tone.connect(volume).connect(this.context.destination);
    tone.start(now);
    tone.stop(now + 0.25);
  }
}
