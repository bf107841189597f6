// One board as a table that changes in place: rows are moved, cells rewritten, and what changed lights up.

import { catalogue, clock, count, direction, format, label, milliseconds } from "/page/format.js";

const FLASH_MS = 120;

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function flash(node, style) {
  node.classList.add(style);
  setTimeout(() => node.classList.remove(style), FLASH_MS);
}

export class Board {
  constructor(board, { onSymbol, onExport }) {
    this.onSymbol = onSymbol;
    this.rows = new Map();
    this.sort = null;
    this.title = element("h3", { textContent: board.scanner });
    this.note = element("span", { className: "quiet" });
    this.badge = element("span", { className: "pill", hidden: true });
    const download = element("button", { type: "button", textContent: "CSV", title: "Download this board as CSV" });
    download.setAttribute("aria-label", `Download ${board.scanner} as CSV`);
    download.onclick = () => onExport(this.board);
    this.caption = element("caption", { className: "visually-hidden" });
    this.head = element("tr");
    this.body = element("tbody");
    const table = element("table", {}, this.caption, element("thead", {}, this.head), this.body);
    const scroll = element("div", { className: "scroll", tabIndex: 0 }, table);
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", `Rows of ${board.scanner}`);
    const header = element("header", {}, this.title, this.note, this.badge, download);
    this.empty = element("p", { className: "empty", textContent: "Nothing matches now.", hidden: true });
    this.node = element("article", { className: "card" }, header, scroll, this.empty);
    this.columns = [];
  }

  show(board, freshness) {
    const isFirst = !this.board;
    this.board = board;
    this.freshness = freshness;
    this.updated = performance.now();
    if (board.columns.join() !== this.columns.join()) this.setColumns(board.columns);
    this.caption.textContent = `${board.scanner} in ${board.market}, best first`;
    const shown = board.rows.length < board.matches ? `${board.rows.length} of ` : "";
    this.note.textContent = `${board.market} · ${shown}${count(board.matches)} match${board.matches === 1 ? "" : "es"} · ${clock(milliseconds(board.tickNs))}`;
    this.showRows(isFirst);
    this.empty.hidden = board.rows.length > 0;
    this.age();
  }

  setColumns(columns) {
    this.columns = columns;
    this.sort = null;
    this.rows.clear();
    this.body.replaceChildren();
    this.head.replaceChildren(...["symbol", ...columns].map((name, position) => {
      const button = element("button", { type: "button", textContent: label(name) });
      const feature = catalogue.get(name);
      if (feature) button.title = `${feature.definition}${feature.unit === "none" ? "" : ` Unit: ${feature.unit}.`}`;
      button.onclick = () => this.sortBy(position - 1);
      return element("th", { scope: "col" }, button);
    }));
  }

  // -1 is the symbol; a third click goes back to the scanner's own order.
  sortBy(column) {
    const descending = column >= 0;
    if (this.sort?.column !== column) this.sort = { column, descending };
    else if (this.sort.descending === descending) this.sort = { column, descending: !descending };
    else this.sort = null;
    [...this.head.children].forEach((cell, position) => {
      if (this.sort?.column === position - 1) {
        cell.setAttribute("aria-sort", this.sort.descending ? "descending" : "ascending");
      } else cell.removeAttribute("aria-sort");
    });
    this.showRows(true);
  }

  ordered() {
    if (!this.sort) return this.board.rows;
    const { column, descending } = this.sort;
    const key = (row) => (column < 0 ? row.symbol : row.values[column]);
    return [...this.board.rows].sort((one, other) => {
      const [a, b] = [key(one), key(other)];
      if (a === b) return one.symbol < other.symbol ? -1 : 1;
      if (a === null) return 1;
      if (b === null) return -1;
      return (a < b ? -1 : 1) * (descending ? -1 : 1);
    });
  }

  showRows(quiet) {
    const rows = this.ordered();
    const present = new Set(rows.map((row) => row.symbol));
    for (const [symbol, known] of this.rows) {
      if (!present.has(symbol)) {
        known.node.remove();
        this.rows.delete(symbol);
      }
    }
    rows.forEach((row, position) => {
      let known = this.rows.get(row.symbol);
      const isNew = !known;
      if (isNew) {
        known = this.makeRow(row.symbol);
        this.rows.set(row.symbol, known);
      }
      if (this.body.children[position] !== known.node) this.body.insertBefore(known.node, this.body.children[position] ?? null);
      this.fill(known, row.values, quiet || isNew);
      if (isNew && !quiet) flash(known.node, "flash-new");
    });
  }

  makeRow(symbol) {
    const button = element("button", { type: "button", className: "symbol", textContent: symbol });
    button.onclick = () => this.onSymbol(this.board.market, symbol);
    const cells = this.columns.map(() => element("td"));
    return { node: element("tr", {}, element("td", {}, button), ...cells), cells, values: [] };
  }

  fill(known, values, quiet) {
    values.forEach((value, position) => {
      const before = known.values[position];
      if (before === value && known.values.length) return;
      const cell = known.cells[position];
      const name = this.columns[position];
      const text = format(name, value);
      if (cell.textContent !== text) {
        cell.textContent = text;
        if (!quiet && typeof value === "number" && typeof before === "number") flash(cell, value > before ? "flash-up" : "flash-down");
      }
      cell.className = cell.className.replace(/\b(up|down)\b(?!-)/g, "").trim();
      const side = direction(name, value);
      if (side) cell.classList.add(side);
    });
    known.values = values;
  }

  mark(symbol) {
    for (const [name, known] of this.rows) known.node.classList.toggle("chosen", name === symbol);
  }

  // Age is judged here too: a board that nobody sends any more would look fresh for ever.
  age() {
    const seconds = Math.floor((performance.now() - this.updated) / 1000);
    const overdue = seconds >= (this.freshness?.staleAfterSeconds ?? 15);
    const isStale = this.freshness?.stale || overdue;
    this.node.classList.toggle("stale", Boolean(isStale));
    const missing = this.board.partitionsPresent < this.board.partitions;
    this.badge.hidden = !isStale && !missing;
    this.badge.dataset.state = "stale";
    if (isStale) this.badge.textContent = overdue ? `no update for ${seconds} s` : "stale";
    else this.badge.textContent = `${this.board.partitionsPresent} of ${this.board.partitions} partitions`;
    this.badge.title = this.freshness?.staleReason ?? "";
  }
}
