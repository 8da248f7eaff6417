// One machine's part of the page: map and lens, the chosen block, CPUs, the header's table, findings, vmcore.
import { MemoryMap, WORDS, endOf } from "kdumpfs/map";
import { ask, before, blockState, echo, element, go, hex, side, size, step, told, view } from "kdumpfs/model";

const MOST_BUTTONS = 512;
const body = (line) => line.slice(6).trim();

export class Panel {
  constructor(parent, n, say) {
    this.n = n;
    this.say = say;
    this.chosen = null;
    this.lines = new Map();
    this.card = element("section", { class: "card machine", "aria-label": told.labels[n] });
    this.title = element("h2");
    this.card.append(this.title);
    this.map = new MemoryMap(this.card, "All of physical memory; arrows choose a block, Enter takes it offline or online", { lens: false });
    this.lens = new MemoryMap(this.card, "A part of physical memory, larger", { lens: true });
    this.legend();
    this.facts = element("div", { class: "facts chosen-block", "aria-live": "polite" });
    this.cpus = element("div", { class: "cpus", role: "group", "aria-label": "CPUs" });
    this.findings = element("ul", { class: "findings", "aria-label": "What elfcorehdr check finds" });
    this.table = element("div", { class: "table", tabindex: 0, role: "region", "aria-label": "Header as the kernel prints it" });
    this.vmcore = element("div", { class: "vmcore" });
    this.modules = element("div", { class: "facts modules" });
    this.card.append(this.facts, element("h3", {}, "CPUs"), this.cpus, element("h3", {}, "Header"), this.findings, this.table, this.vmcore, this.modules);
    parent.append(this.card);
    for (const map of [this.map, this.lens]) this.listen(map);
  }

  legend() {
    const words = [["kernel", "online"], ["movable", "Movable"], ["offline", "offline"], ["going", "going"], ["crash", "crashkernel"], ["rtas", "RTAS"],
      ["backup", "backup region"], ["row", "row of the header"], ["note", "note"]];
    this.card.append(element("div", { class: "legend", "aria-hidden": "true" },
      ...words.map(([key, word]) => element("span", {}, element("i", { class: "k-" + key }), word))));
  }

  listen(map) {
    const canvas = map.canvas;
    let from = null;
    canvas.addEventListener("pointerdown", (event) => { from = [event.offsetX, map.low, map.high, false]; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (from === null) { canvas.title = map.words(map.address(event.offsetX)); return; }
      const moved = event.offsetX - from[0];
      if (Math.abs(moved) < 5 && !from[3]) return;
      from[3] = true;
      if (map === this.lens) {
        const by = moved / map.width * (from[2] - from[1]);
        this.lens.look(from[1] - by, from[2] - by);
      } else {
        const [a, b] = [map.address(from[0]), map.address(event.offsetX)].sort((x, y) => x - y);
        this.lens.look(a, b);
      }
      this.redraw();
    });
    canvas.addEventListener("pointerup", (event) => {
      const moved = from !== null && from[3];
      from = null;
      if (!moved) this.choose(Math.floor(map.address(event.offsetX) / map.state.block_size));
    });
    canvas.addEventListener("dblclick", () => this.toggle());
    canvas.addEventListener("wheel", (event) => {
      if (map !== this.lens) return;
      event.preventDefault();
      this.zoom(event.deltaY < 0 ? 0.8 : 1.25, map.address(event.offsetX));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event, map));
    canvas.addEventListener("dragover", (event) => { event.preventDefault(); map.box.classList.add("drop"); });
    canvas.addEventListener("dragleave", () => map.box.classList.remove("drop"));
    canvas.addEventListener("drop", (event) => {
      event.preventDefault();
      map.box.classList.remove("drop");
      const wanted = Number(document.getElementById("chip-size").value), of = map.state.block_size;
      this.say(ask("plug", { memory: Math.floor(map.address(event.offsetX) / of) * of, size: wanted }));
    });
  }

  key(event, map) {
    const end = Math.ceil(endOf(map.state) / map.state.block_size), by = Math.max(Math.floor(end / 100), 1);
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -by, PageDown: by, Home: -end, End: end };
    if (event.key in moves) this.choose(Math.min(Math.max((this.chosen ?? 0) + moves[event.key], 0), end));
    else if (event.key === "Enter" || event.key === " ") this.toggle();
    else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 0.7 : 1.4, (this.lens.low + this.lens.high) / 2);
    else if (event.key === "0") { this.fit(); this.redraw(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  zoom(by, around) {
    const { low, high } = this.lens;
    this.lens.look(around - (around - low) * by, around + (high - around) * by);
    this.redraw();
  }

  fit() {
    const state = this.map.state, crash = state.reserved.filter((one) => one[2] !== "RTAS");
    const high = crash.length ? Math.max(...crash.map((one) => one[1])) * 1.15 : endOf(state);
    this.lens.look(0, high);
  }

  choose(n) {
    this.chosen = n;
    const at = n * this.map.state.block_size;
    if (at < this.lens.low || at >= this.lens.high) {
      const wide = this.lens.high - this.lens.low;
      this.lens.look(at - wide / 2, at + wide / 2);
    }
    this.redraw();
    this.drawFacts();
  }

  toggle() {
    if (this.chosen === null || view.recorded) return;
    const state = blockState(side(this.n).blocks, this.chosen);
    if (state) this.block(state === 1 ? "online" : "offline");
  }

  block(word) { this.say(echo(`/sys/devices/system/memory/memory${this.chosen}/state`, word)); }

  redraw() {
    this.map.show(this.map.state, this.chosen, [this.lens.low, this.lens.high]);
    this.lens.show(this.lens.state, this.chosen, null);
  }

  draw() {
    const state = side(this.n);
    const fresh = !this.map.state;
    this.map.state = this.lens.state = state;
    this.map.low = 0;
    this.map.high = endOf(state) * 1.02;
    if (fresh) this.fit();
    this.redraw();
    this.card.classList.toggle("dead", Boolean(state.dead));
    const what = state.dead ? `dead: ${state.dead}` : state.captured ? "capture kernel" : state.loaded ? "kdump loaded" : "kdump not loaded";
    this.title.textContent = `${state.machine} · ${state.release} · ${what} · ${state.block_count.toLocaleString("en")} blocks of ${size(state.block_size)}`;
    this.drawFacts();
    this.drawCpus(state);
    this.drawHeader(state);
    this.drawVmcore(state);
    this.modules.replaceChildren(...(state.modules.length ? ["Modules: " + state.modules.join(", ")] : []));
  }

  drawFacts() {
    if (this.chosen === null) {
      this.facts.replaceChildren("Click a block, or drag over the map to set the lens.");
      return;
    }
    const state = side(this.n), n = this.chosen, code = blockState(state.blocks, n), at = n * state.block_size;
    const node = state.nodes.find((one) => one[0] <= at && at < one[1]);
    const act = (word) => element("button", { class: "act", onclick: () => this.block(word) }, word);
    this.facts.replaceChildren(
      element("b", {}, `memory${n}`), `${hex(at)} to ${hex(at + state.block_size - 1)}, ${WORDS[code]}${node ? `, node ${node[2]}` : ""}`,
      ...(code ? [act("offline"), act("online"), act("online_movable"), this.opener(`/sys/devices/system/memory/memory${n}`)] : []),
      ...(code ? [element("button", { class: "act", onclick: () => this.say(ask("unplug", { memory: at, size: state.block_size })) }, "unplug")] : []));
  }

  opener(path) {
    return element("button", { class: "act", onclick: () => document.dispatchEvent(new CustomEvent("open-file", { detail: [path, this.n] })) }, "its files");
  }

  drawCpus(state) {
    const all = state.cpus.reduce((sum, run) => sum + run[1], 0);
    if (all > MOST_BUTTONS) return this.drawManyCpus(state, all);
    const last = before()?.sides[this.n].state.cpus;
    const code = (runs, n) => blockState(runs, n);
    const cores = new Map();
    for (const [first, count, on, node] of state.cpus)
      for (let n = first; n < first + count; n++) {
        const word = ["absent", "off", "on"][on];
        const button = element("button", {
          class: word, disabled: on === 0 ? "" : null, title: `cpu${n}, node ${node}: ${["not present", "offline", "online"][on]}`,
          "aria-pressed": on === 2 ? "true" : "false", "data-cpu": n,
          onclick: () => view.recorded || this.say(echo(`/sys/devices/system/cpu/cpu${n}/online`, on === 2 ? "0" : "1")),
        }, String(n));
        if (last && code(last, n) !== on) button.classList.add("changed");
        const core = Math.floor(n / state.threads);
        if (!cores.has(core)) cores.set(core, element("span", { class: "core" }));
        cores.get(core).append(button);
      }
    const focused = document.activeElement?.dataset?.cpu;
    const had = focused !== undefined && this.cpus.contains(document.activeElement);
    this.cpus.replaceChildren(...cores.values());
    if (had) this.cpus.querySelector(`[data-cpu="${focused}"]`)?.focus();
  }

  /** Thousands: a canvas, a square a CPU. */
  drawManyCpus(state, all) {
    const canvas = this.cpus.querySelector("canvas") ?? element("canvas", { class: "cpu-canvas", tabindex: 0, role: "application", "aria-roledescription": "CPUs" });
    if (!canvas.isConnected) this.cpus.replaceChildren(canvas);
    const width = this.cpus.clientWidth, cell = all > 2048 ? 6 : 9, columns = Math.max(Math.floor(width / cell), 1), ratio = devicePixelRatio || 1;
    const height = Math.ceil(all / columns) * cell;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.height = height + "px";
    const style = getComputedStyle(document.documentElement), g = canvas.getContext("2d");
    g.scale(ratio, ratio);
    let on = 0;
    for (const [first, count, code] of state.cpus) {
      g.fillStyle = style.getPropertyValue(["--line", "--offline", "--kernel"][code]);
      on += code === 2 ? count : 0;
      for (let n = first; n < first + count; n++) g.fillRect(n % columns * cell, Math.floor(n / columns) * cell, cell - 1, cell - 1);
    }
    const words = (n) => `cpu${n}: ${["not present", "offline", "online"][blockState(state.cpus, n)]}`;
    const n = Math.min(this.cpu ?? 0, all - 1);
    if (this.cpu !== undefined) {
      g.strokeStyle = style.getPropertyValue("--ink");
      g.lineWidth = 2;
      g.strokeRect(n % columns * cell - 1, Math.floor(n / columns) * cell - 1, cell + 1, cell + 1);
    }
    canvas.setAttribute("aria-label", `${on} of ${all} CPUs are online; arrows choose, Enter takes one offline or online; ${words(n)}`);
    const at = (event) => Math.floor(event.offsetY / cell) * columns + Math.floor(event.offsetX / cell);
    const choose = (to) => { this.cpu = Math.min(Math.max(to, 0), all - 1); this.drawManyCpus(state, all); };
    const toggle = (which) => {
      const code = blockState(state.cpus, which);
      if (code && !view.recorded) this.say(echo(`/sys/devices/system/cpu/cpu${which}/online`, code === 2 ? "0" : "1"));
    };
    canvas.onmousemove = (event) => { canvas.title = words(at(event)); };
    canvas.onclick = (event) => toggle(at(event));
    canvas.onkeydown = (event) => {
      const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -all, End: all };
      if (event.key in moves) choose(n + moves[event.key]);
      else if (event.key === "Enter" || event.key === " ") toggle(n);
      else return;
      event.preventDefault();
    };
  }

  drawHeader(state) {
    const { header } = state;
    if (!header) {
      this.table.replaceChildren(state.captured ? "this is the capture kernel: the header is in /proc/vmcore" : "no crash image is loaded: no header");
      this.findings.replaceChildren();
      return;
    }
    const old = before()?.sides[this.n].state.header, others = step().sides.filter((_, n) => n !== this.n).map((one) => one.state.header);
    const was = new Set(old ? old.rows.map((row) => body(row.line)) : []), is = new Set(header.rows.map((row) => body(row.line)));
    const elsewhere = others.map((one) => new Set(one ? one.rows.map((row) => body(row.line)) : []));
    const wrong = new Set(header.findings.map((one) => one.row));
    this.head ??= element("div", { class: "head" });
    this.head.textContent = header.head.trimEnd();
    const lines = [this.head];
    const kept = new Map();
    let last = -1;
    for (const row of header.rows) {
      if (row.n !== last + 1) lines.push(this.gap(last + 1, row.n));
      last = row.n;
      const marks = [];
      if (old && !was.has(body(row.line))) marks.push("changed");
      if (elsewhere.some((one) => !one.has(body(row.line)))) marks.push("differs");
      if (wrong.has(row.n)) marks.push("wrong");
      const key = `${marks.join(" ")} ${row.line} ${row.what}`;
      lines.push(this.lines.get(key) ?? element("div", { class: marks.join(" "), "data-row": row.n, title: row.what + marks.map((m) => ", " + m).join(""),
        onclick: () => { this.lens.look(row.start - row.size, row.start + 2 * row.size); this.redraw(); } }, row.line));
      kept.set(key, lines.at(-1));
    }
    for (const row of old ? old.rows : []) if (!is.has(body(row.line))) lines.push(element("div", { class: "gone", title: "gone since the step before" }, row.line));
    this.lines = kept;
    const now = this.table.childNodes;
    let same = 0; // the first lines are those of before: what is behind them is put anew
    while (same < lines.length && lines[same] === now[same]) same++;
    while (now.length > same) this.table.lastChild.remove();
    this.table.append(...lines.slice(same));
    const first = this.table.querySelector(".changed");
    if (first) this.table.scrollTop = first.offsetTop - this.table.offsetTop - 60;
    const theirs = others.map((one) => new Set(one ? one.findings.map((found) => found.text) : []));
    const found = header.findings.map((one) => element("li", { class: one.level + (theirs.some((t) => !t.has(one.text)) ? " differs" : "") },
      `${one.level}: ${one.row === null ? "" : `row ${hex(one.row)}: `}${one.text} [${one.rule}]`));
    this.findings.replaceChildren(...(found.length ? found : [element("li", { class: "fine" }, "check finds nothing wrong")]));
  }

  gap(first, next) {
    const words = `... rows ${hex(first)} to ${hex(next - 1)}`;
    if (!view.live) return element("div", { class: "gap" }, words);
    const line = element("div", { class: "gap" }, element("button", { onclick: async () => {
      const more = await (await fetch(`rows?machine=${this.n}&first=${first}`)).json();
      line.replaceChildren(...more.rows.filter((row) => row.n < next).map((row) => element("div", { "data-row": row.n }, row.line)));
    } }, words));
    return line;
  }

  drawVmcore(state) {
    if (!state.vmcore) { this.vmcore.replaceChildren(); return; }
    const { pages, page_size: page, size: bytes } = state.vmcore;
    this.vmcore.replaceChildren(element("h3", {}, `/proc/vmcore, ${size(bytes)}`),
      ...Object.entries(pages).filter(([, n]) => typeof n === "number").map(([kind, n]) => element("div", {}, `${kind}: ${n.toLocaleString("en")} pages, ${size(n * page)}`)));
  }
}
