// Physical memory to scale: nodes, blocks, what is reserved, the header's rows, and where each row is read from.
import { blockState, hex, size } from "kdumpfs/model";

export const WORDS = ["absent", "offline", "online", "online, Movable", "going offline"];
const COLOURS = ["", "--offline", "--kernel", "--movable", "--going"];
const NODES = [16, 12], BLOCKS = [30, 40], RESERVED = [74, 20], ROWS = [98, 16], ARROWS = 118, HEIGHT = 190;
const LEAST = 3;

export function endOf(state) {
  let end = 0;
  for (const [first, count] of state.blocks.slice(-1)) end = (first + count) * state.block_size;
  for (const one of [...state.nodes, ...state.reserved, ...state.segments]) end = Math.max(end, one[1]);
  return end;
}

/** A window onto memory [low, high), drawn when it must be. Clicks give addresses. */
export class MemoryMap {
  constructor(parent, label, { lens }) {
    this.lens = lens;
    this.box = document.createElement("div");
    this.box.className = "map";
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-roledescription", "memory map");
    this.canvas.setAttribute("aria-label", label);
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.svg.setAttribute("aria-hidden", "true");
    this.box.append(this.canvas, this.svg);
    parent.append(this.box);
    this.low = 0;
    this.high = 1;
    this.frames = 0;
    new ResizeObserver(() => this.later()).observe(this.box);
  }

  show(state, chosen, window) {
    this.state = state;
    this.chosen = chosen;
    this.window = window;
    this.later();
  }

  look(low, high) {
    const end = endOf(this.state) * 1.02;
    const wide = Math.min(Math.max(high - low, 1 << 16), end);
    this.low = Math.max(0, Math.min(low, end - wide));
    this.high = this.low + wide;
    this.later();
  }

  later() {
    if (this.asked || !this.state) return;
    this.asked = true;
    requestAnimationFrame(() => { this.asked = false; this.draw(); this.frames++; });
  }

  x(address) { return (address - this.low) / (this.high - this.low) * this.width; }
  address(x) { return Math.floor(this.low + x / this.width * (this.high - this.low)); }
  colour(name) { return this.colours[name] ??= this.style.getPropertyValue(name); }

  draw() {
    const ratio = devicePixelRatio || 1;
    this.width = this.box.clientWidth;
    if (!this.width) return;
    this.canvas.width = Math.round(this.width * ratio);
    this.canvas.height = Math.round(HEIGHT * ratio);
    this.canvas.style.height = HEIGHT + "px";
    this.style = getComputedStyle(document.documentElement);
    this.colours = {};
    const g = this.g = this.canvas.getContext("2d");
    g.scale(ratio, ratio);
    this.drawNodes();
    this.drawBlocks();
    this.drawSpans();
    this.drawRows();
    this.drawOver();
  }

  span(low, high, [top, height], colour, least = 1) {
    const from = this.x(low), to = this.x(high);
    if (to < -least || from > this.width + least) return;
    const left = Math.max(from, -2);
    this.g.fillStyle = colour;
    this.g.fillRect(left, top, Math.max(Math.min(to, this.width + 2) - left, least), height);
  }

  drawNodes() {
    for (const [start, end, node] of this.state.nodes) {
      this.span(start, end, NODES, this.colour(node % 2 ? "--node-b" : "--node-a"));
      const from = Math.max(this.x(start), 0), to = Math.min(this.x(end), this.width);
      if (to - from > 44) {
        this.g.fillStyle = this.colour("--dim");
        this.g.font = "10px system-ui";
        this.g.fillText("node " + node, from + 4, NODES[0] + 10);
      }
    }
  }

  drawBlocks() {
    const { g, state } = this;
    const of = state.block_size, wide = this.x(of) - this.x(0);
    g.strokeStyle = this.colour("--line");
    g.strokeRect(0.5, BLOCKS[0] + 0.5, this.width - 1, BLOCKS[1] - 1);
    if (wide >= 3) {
      const gap = wide > 6 ? 1 : 0.4;
      for (const [first, count, code] of state.blocks) {
        const from = Math.max(first, Math.floor(this.low / of)), to = Math.min(first + count, Math.ceil(this.high / of));
        g.fillStyle = this.colour(COLOURS[code]);
        for (let n = from; n < to; n++) g.fillRect(this.x(n * of) + gap / 2, BLOCKS[0], wide - gap, BLOCKS[1]);
      }
      return;
    }
    // Many blocks a pixel: each column shows the shares of its states.
    const columns = Math.ceil(this.width), shares = COLOURS.map(() => new Float32Array(columns + 1));
    for (const [first, count, code] of state.blocks) {
      const from = Math.max(this.x(first * of), 0), to = Math.min(this.x((first + count) * of), columns);
      for (let c = Math.floor(from); c < to; c++) shares[code][c] += Math.min(to, c + 1) - Math.max(from, c);
    }
    for (let c = 0; c < columns; c++) {
      let y = BLOCKS[0];
      for (const code of [1, 4, 3, 2]) {
        const share = shares[code][c];
        if (!share) continue;
        const high = Math.min(Math.max(share * BLOCKS[1], code === 2 ? 0 : 4), BLOCKS[0] + BLOCKS[1] - y);
        g.fillStyle = this.colour(COLOURS[code]);
        g.fillRect(c, y, 1, high);
        y += high;
      }
    }
  }

  drawSpans() {
    const { state } = this;
    for (const [start, end, what] of state.reserved)
      this.span(start, end, RESERVED, this.colour(what === "RTAS" ? "--rtas" : "--crash"), LEAST);
    for (const [start, end] of state.segments) this.span(start, end, [RESERVED[0] + 6, RESERVED[1] - 12], this.colour("--segment"), 1);
    if (state.backup !== null) this.span(state.backup, state.backup + 0x10000, RESERVED, this.colour("--backup"), LEAST + 1);
  }

  drawRows() {
    for (const row of this.state.header ? this.state.header.rows : [])
      this.span(row.start, row.start + row.size, ROWS, this.colour(row.type === 4 ? "--note" : "--row"), 2);
  }

  drawOver() {
    const parts = [];
    const middle = (low, high) => Math.min(Math.max((this.x(low) + this.x(high)) / 2, 2), this.width - 2);
    const n = this.state.block_size;
    if (this.chosen !== null) {
      const from = this.x(this.chosen * n), wide = Math.max(this.x(n) - this.x(0), 4);
      parts.push(`<rect class="chosen" x="${from}" y="${BLOCKS[0] - 2}" width="${wide}" height="${BLOCKS[1] + 4}"/>`);
    }
    if (this.window) {
      const [low, high] = this.window;
      parts.push(`<rect class="window" x="${this.x(low)}" y="14" width="${Math.max(this.x(high) - this.x(low), 4)}" height="${ARROWS - 14}"/>`);
    }
    const { header, backup } = this.state;
    let depth = 0;
    for (const row of header ? header.rows : []) {
      const low = row.role === "FIRST_64K" || row.role === "BACKUP";
      if (row.type !== 1 || (row.offset === row.start && !(low && backup !== null)) || row.role === "KERNEL") continue;
      const seen = (at) => this.low <= at + row.size && at < this.high;
      if (!seen(row.start) && !seen(row.offset)) continue;
      const good = backup !== null ? row.offset === backup : row.role === "BACKUP";
      const kind = good ? "good" : "bad";
      const from = middle(row.start, row.start + row.size), to = middle(row.offset, row.offset + row.size);
      const bottom = ARROWS + 26 + 16 * depth++;
      const loop = Math.abs(from - to) < 14 ? 26 : 0;
      const path = loop
        ? `M${from} ${ARROWS} C${from + 4} ${bottom + 12} ${from + 46} ${bottom + 12} ${to + 8} ${ARROWS + 4}`
        : `M${from} ${ARROWS} C${from} ${bottom} ${to} ${bottom} ${to} ${ARROWS}`;
      const tip = loop ? to + 8 : to;
      if (!good && backup !== null) {
        const right = middle(backup, backup + 0x10000);
        parts.push(`<path class="expected" d="M${from} ${ARROWS} C${from} ${bottom + 20} ${right} ${bottom + 20} ${right} ${ARROWS}"/>`);
      }
      parts.push(`<path class="arrow ${kind}" data-row="${row.n}" data-offset="${hex(row.offset)}" d="${path}"/>`);
      parts.push(`<path class="arrow-head ${kind}" d="M${tip - 5} ${ARROWS + 9} L${tip + 5} ${ARROWS + 9} L${tip} ${ARROWS} Z"/>`);
      const long = this.width > 440, read = `row ${hex(row.n)} is read from ${hex(row.offset)}`;
      const words = good ? `${read}${long ? ", the backup region" : ""}` : long ? `${read}: not the backup region` : `${read}: wrong`;
      const at = Math.min(Math.max((from + to) / 2 + loop * 2, 4), Math.max(this.width - words.length * 7.2, 4));
      parts.push(`<text class="${kind}" x="${at}" y="${Math.min(bottom + (good ? 18 : 30), HEIGHT - 8)}">${words}</text>`);
    }
    parts.push(this.ticks());
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.svg.innerHTML = parts.join("");
  }

  ticks() {
    const ends = [[0, this.low, "start"], [this.width, this.high, "end"]];
    const marks = ends.map(([x, address, anchor]) => `<text class="tick" x="${x}" y="11" text-anchor="${anchor}">${hex(Math.round(address))}</text>`);
    const wide = this.high - this.low;
    if (this.width > 500) marks.push(`<text class="tick" x="${this.width / 2}" y="11" text-anchor="middle">${size(wide)}${this.lens ? ", lens" : ""}</text>`);
    return marks.join("");
  }

  /** What lies at an address, in words. */
  words(address) {
    const { state } = this, n = Math.floor(address / state.block_size);
    const found = [`memory${n}: ${WORDS[blockState(state.blocks, n)]}`];
    for (const [start, end, what] of state.reserved) if (start <= address && address < end) found.push(what);
    return found.join(", ");
  }
}
