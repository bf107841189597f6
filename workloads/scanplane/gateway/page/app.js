// Puts the page together: one connection, many boards, one list of signals.

import { Board } from "/page/board.js";
import { catalogue, clock, format, label, milliseconds, zone } from "/page/format.js";
import { Pipeline } from "/page/pipeline.js";
import { Chime, Signals } from "/page/signals.js";
import { Stream } from "/page/stream.js";

const byId = (id) => document.getElementById(id);
const boards = new Map();
const waiting = new Map();
const markets = new Map();
const stream = new Stream(["boards/*", "signals/*", "status/*"]);
const signals = new Signals(byId("signals"), byId("signals-empty"), openQuote);
const chime = new Chime(byId("sound"));
const pipeline = new Pipeline((name, text, isBad = false, title = "") => {
  const node = byId(`figure-${name}`);
  if (node.textContent !== text) node.textContent = text;
  node.classList.toggle("bad", isBad);
  node.title = title;
});
let quoteTopic = null;
let chosen = null;

// Boards are drawn once a frame, the newest version only, however often they come.
function schedule(topic, message) {
  if (!waiting.size) requestAnimationFrame(draw);
  waiting.set(topic, message);
}

function draw() {
  for (const [topic, message] of waiting) drawBoard(topic, message);
  waiting.clear();
}

function drawBoard(topic, { data, freshness }) {
  let board = boards.get(topic);
  if (!board) {
    board = new Board(data, { onSymbol: openQuote, onExport: download });
    boards.set(topic, board);
    const next = [...boards.keys()].sort().find((name) => name > topic && boards.get(name).node.isConnected);
    byId("boards").insertBefore(board.node, next ? boards.get(next).node : null);
    byId("boards-empty").hidden = true;
  }
  board.show(data, freshness);
  board.mark(chosen);
  markets.set(data.market, freshness);
}

function receive(message) {
  const kind = message.topic?.split("/", 1)[0];
  switch (message.type) {
    case "hello":
      byId("version").textContent = `Scanplane ${message.version}`;
      byId("login").close();
      showStale(message);
      break;
    case "lag":
      showStale(message);
      break;
    case "snapshot":
    case "update":
      if (kind === "boards") {
        pipeline.seeBoard(message.freshness, message.type === "update");
        schedule(message.topic, message);
      } else if (kind === "signals") message.data.forEach((signal) => signals.add(signal, false));
      else if (kind === "status") pipeline.seeStatus(message.topic, message.data);
      else if (message.topic === quoteTopic) showQuote(message);
      break;
    case "signal":
      if (signals.add(message.data, true)) chime.ring();
      break;
    case "removed":
      if (kind === "boards") removeBoard(message.topic);
      else if (kind === "status") pipeline.forget(message.topic);
      break;
    case "error":
      showNotice(message.message);
      break;
  }
}

function removeBoard(topic) {
  boards.get(topic)?.node.remove();
  boards.delete(topic);
  waiting.delete(topic);
  byId("boards-empty").hidden = boards.size > 0;
}

function showNotice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

let staleReason = "";
function showStale({ stale, staleReason: reason }) {
  staleReason = stale ? reason : "";
  showNotice(stale ? `What you see is the last that is known: ${reason}.` : "");
  showConnection("live");
}

function showConnection(state) {
  const node = byId("connection");
  const shown = state === "live" && staleReason ? "stale" : state;
  const text = { live: "connected", connecting: "connecting", lost: "connection lost", stale: "stale" }[shown];
  node.dataset.state = shown;
  if (node.textContent !== text) node.textContent = text;
}

function showMarkets() {
  const nodes = [...markets].sort().map(([market, freshness]) => {
    const node = document.createElement("li");
    const pill = document.createElement("span");
    pill.className = "pill";
    pill.dataset.state = freshness?.delay ? "delayed" : "live";
    pill.textContent = freshness?.delay || "live";
    node.append(market, pill);
    return node;
  });
  const list = byId("markets");
  const text = nodes.map((node) => node.textContent).join();
  if (list.dataset.shown !== text) {
    list.dataset.shown = text;
    list.replaceChildren(...nodes);
  }
}

function openQuote(market, symbol) {
  chosen = symbol;
  for (const board of boards.values()) board.mark(symbol);
  if (quoteTopic) stream.unsubscribe(quoteTopic);
  quoteTopic = `quotes/${market}/${symbol}`;
  byId("quote-title").textContent = symbol;
  byId("quote-note").textContent = "…";
  byId("quote-values").replaceChildren();
  byId("quote").showModal();
  stream.subscribe(quoteTopic);
}

function showQuote({ data, freshness }) {
  if (data.known === false) {
    byId("quote-note").textContent = `${data.market} knows nothing of ${data.symbol} yet.`;
    return;
  }
  byId("quote-note").textContent = `${data.market} · ${clock(milliseconds(data.tickNs))}${freshness?.delay ? ` · ${freshness.delay}` : ""}`;
  const known = Object.entries(data.values).filter(([name]) => name !== "symbol");
  byId("quote-values").replaceChildren(...known.flatMap(([name, value]) => {
    const [term, cell] = [document.createElement("dt"), document.createElement("dd")];
    term.textContent = label(name);
    term.title = catalogue.get(name)?.definition ?? "";
    cell.textContent = format(name, value);
    return [term, cell];
  }));
}

byId("quote").addEventListener("close", () => {
  if (quoteTopic) stream.unsubscribe(quoteTopic);
  quoteTopic = null;
});
byId("quote-close").onclick = () => byId("quote").close();

// A link could not carry the token, and must not: addresses end up in logs.
async function download(board) {
  const response = await fetch(`/v1/boards/${encodeURIComponent(board.market)}/${encodeURIComponent(board.scanner)}?format=csv`, { headers: stream.headers() });
  if (!response.ok) {
    showNotice((await response.json()).error);
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "board.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

byId("login-form").onsubmit = (event) => {
  event.preventDefault();
  byId("login-error").textContent = "";
  stream.login(byId("token").value.trim());
  byId("token").value = "";
};
byId("login").addEventListener("cancel", (event) => event.preventDefault());

stream.addEventListener("message", ({ detail }) => receive(detail));
stream.addEventListener("state", ({ detail }) => showConnection(detail.state));
stream.addEventListener("login", ({ detail }) => {
  byId("login-error").textContent = detail.refused ? "This token is not known." : "";
  if (!byId("login").open) byId("login").showModal();
});

async function loadCatalogue() {
  const response = await fetch("/v1/features");
  for (const feature of (await response.json()).features) catalogue.set(feature.name, feature);
}

byId("zone").textContent = `Times in ${zone()}`;
setInterval(() => {
  pipeline.show({ boards: boards.size, signals: signals.total });
  showMarkets();
  for (const board of boards.values()) board.age();
}, 500);
loadCatalogue().catch(() => {}).finally(() => stream.connect());
