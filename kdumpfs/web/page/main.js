// The page: puts its parts together, follows the server's steps, and has the keys.
import * as files from "kdumpfs/files";
import { add, ask, before, begin, changed, element, go, lines, onChange, step, told, view } from "kdumpfs/model";
import { Panel } from "kdumpfs/panels";

const by = (id) => document.getElementById(id);
const recorded = JSON.parse(by("recorded").textContent);
const panels = [];
let playing = null;

/** Shows what the shell would say of a write. */
async function say(promise) {
  try {
    const outcomes = await promise;
    const refused = outcomes.map((one, n) => one && (told.labels.length > 1 ? `${told.labels[n]}: ${one}` : one)).filter(Boolean);
    by("said").textContent = refused.join("   ");
    by("said").className = refused.length ? "refusal" : "";
    return outcomes;
  } catch (error) {
    by("said").textContent = error.message;
    by("said").className = "refusal";
    throw error;
  }
}

function drawSteps() {
  const list = by("steps");
  while (list.children.length > told.steps.length) list.lastChild.remove();
  for (let n = list.children.length; n < told.steps.length; n++) {
    const { line, at, sides } = told.steps[n];
    const why = sides.map((one) => one.outcome).filter(Boolean).join("; ");
    const button = element("button", { class: why ? "refused" : "", title: `${at} s: ${line}${why ? "\n" + why : ""}`, onclick: () => { stop(); go(n); } }, `${n} ${line.replace(/sys\/devices\/system\/|^kdumpfs /, "")}`);
    list.append(element("li", {}, button));
  }
  [...list.children].forEach((item, n) => {
    if (n === view.at) item.firstChild.setAttribute("aria-current", "step"); else item.firstChild.removeAttribute("aria-current");
  });
  const current = list.children[view.at];
  if (current) list.scrollLeft = current.offsetLeft - list.clientWidth / 2;
  by("live").setAttribute("aria-pressed", String(view.live));
  by("back").disabled = view.at === 0;
  by("forth").disabled = view.at === told.steps.length - 1;
}

function drawLines(id, filter, key, words) {
  const wanted = by(filter).value.toLowerCase();
  const found = lines(key).map(([n, entry, fresh]) => [n, words(entry), fresh, entry]).filter(([, text]) => text.toLowerCase().includes(wanted)).slice(-400);
  const many = told.labels.length > 1;
  by(id).replaceChildren(...found.map(([n, text, fresh, entry]) =>
    element("div", { class: (fresh ? "new " : "") + (key === "log" && entry[1] <= 3 ? "err" : "") }, many ? `${n ? "B" : "A"} ${text}` : text)));
  by(id).scrollTop = by(id).scrollHeight;
}

const stamp = ([, , usec, text]) => `[${String(Math.floor(usec / 1e6)).padStart(5)}.${String(usec % 1e6).padStart(6, "0")}] ${text}`;

async function drawDifference() {
  const since = by("since"), asked = since.value;
  since.replaceChildren(element("option", { value: "" }, "the step before"),
    ...(view.recorded ? [] : told.steps.slice(0, view.at).map((one) => element("option", { value: one.n }, `${one.n} ${one.line}`))));
  if (asked !== "" && Number(asked) < view.at) since.value = asked;
  const at = view.at;
  const texts = await Promise.all(told.labels.map(async (label, n) => {
    const text = since.value === "" ? step().sides[n].difference
      : await (await fetch(`diff?machine=${n}&from=${since.value}&to=${at}`)).text();
    return element("p", {}, (told.labels.length > 1 ? label + ": " : "") + (text || "no difference"));
  }));
  if (at === view.at) by("difference").replaceChildren(...texts);
}

function draw() {
  while (panels.length < told.labels.length) panels.push(new Panel(by("machines"), panels.length, say));
  by("machines").classList.toggle("two", panels.length > 1);
  for (const panel of panels) panel.draw();
  drawSteps();
  drawLines("log", "log-filter", "log", stamp);
  drawLines("uevents", "uevent-filter", "uevents", ([n, text]) => `${n} ${text}`);
  drawDifference();
  const now = step().sides, what = step();
  const loaded = now.some((one) => one.state.loaded), dead = now.every((one) => one.state.dead);
  by("crash").disabled = dead || now.every((one) => one.state.captured);
  by("crash").title = loaded ? "echo c > /proc/sysrq-trigger: the capture kernel starts" : "echo c > /proc/sysrq-trigger: nothing is loaded, the machine is dead then";
  by("unload").disabled = !loaded;
  by("reload").disabled = !now.some((one) => one.state.modules.length);
  if (!view.live || view.recorded) {
    const why = what.sides.map((one) => one.outcome).filter(Boolean).join("   ");
    by("said").className = why ? "refusal" : "";
    by("said").textContent = `$ ${what.line}${why ? "   " + why : ""}`;
  }
  document.body.dataset.step = view.at;
}

function stop() {
  clearInterval(playing);
  playing = null;
  by("play").textContent = "Play";
}

function play() {
  if (playing) return stop();
  if (view.at === told.steps.length - 1) go(0);
  by("play").textContent = "Stop";
  playing = setInterval(() => { if (view.at >= told.steps.length - 1) stop(); else go(view.at + 1); }, 1200);
}

function theme(dark) {
  document.documentElement.classList.toggle("dark", dark);
  if (told.steps.length) changed();
}

function large() {
  const on = document.documentElement.classList.toggle("large");
  by("large").setAttribute("aria-pressed", String(on));
  changed();
}

const isDark = () => document.documentElement.classList.contains("dark");
const full = () => document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen();

function buttons() {
  const click = (id, action) => by(id).addEventListener("click", action);
  click("load", () => say(ask("load")));
  click("unload", () => say(ask("unload")));
  click("plug", () => say(ask("plug", { memory: null, size: Number(by("chip-size").value) })));
  click("plug-cpu", () => {
    const state = step().sides[0].state, run = state.cpus.find((one) => one[2] === 0);
    say(ask("plug", { cpu: run ? Math.floor(run[0] / state.threads) : Math.ceil(state.cpus.length / state.threads) }));
  });
  click("reload", () => say(ask("reload")));
  click("crash", () => {
    const button = by("crash");
    if (button.classList.toggle("armed")) { button.textContent = "Crash: sure?"; setTimeout(() => { button.classList.remove("armed"); button.textContent = "Crash"; }, 4000); return; }
    button.textContent = "Crash";
    say(ask("crash"));
  });
  click("large", large);
  click("full", full);
  click("theme", () => theme(!isDark()));
  click("back", () => { stop(); go(view.at - 1); });
  click("forth", () => { stop(); go(view.at + 1); });
  click("live", () => { stop(); go(told.steps.length - 1); });
  click("play", play);
  by("log-filter").addEventListener("input", draw);
  by("uevent-filter").addEventListener("input", draw);
  by("since").addEventListener("change", drawDifference);
  by("chip").addEventListener("dragstart", (event) => event.dataTransfer.setData("text/plain", by("chip-size").value));
}

const KEYS = {
  l: large, f: full, t: () => theme(!isDark()), p: play, e: () => { stop(); go(told.steps.length - 1); },
  "[": () => { stop(); go(view.at - 1); }, "]": () => { stop(); go(view.at + 1); }, "/": () => by("path").focus(),
  "+": () => panels[0].zoom(0.7, (panels[0].lens.low + panels[0].lens.high) / 2), "-": () => panels[0].zoom(1.4, (panels[0].lens.low + panels[0].lens.high) / 2),
  0: () => { panels[0].fit(); panels[0].redraw(); },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
  if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
});

function begun(all) {
  begin(all);
  const of = step().sides[0].state.block_size;
  by("chip-size").replaceChildren(...[1, 2, 4, 8].map((n) => element("option", { value: n * of }, `${n * of / 2 ** 20} MiB`)));
  files.begun();
  document.body.dataset.ready = "yes";
}

onChange(draw);
buttons();
files.setUp(say);
theme(matchMedia("(prefers-color-scheme: dark)").matches);
window.kdumpfs = { told, view, panels };
addEventListener("hashchange", () => { const asked = /^#step=(\d+)$/.exec(location.hash); if (asked) go(Number(asked[1])); });
if (recorded) {
  view.recorded = true;
  document.body.classList.add("recorded");
  begun(recorded);
} else {
  const source = new EventSource("events");
  source.addEventListener("begin", (event) => begun(JSON.parse(event.data)));
  source.addEventListener("step", (event) => add(JSON.parse(event.data)));
  source.onerror = () => { by("said").textContent = "the server does not answer"; by("said").className = "refusal"; };
  source.onopen = () => { by("said").textContent = ""; };
}
