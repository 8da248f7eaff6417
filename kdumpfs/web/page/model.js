// What the page knows: the steps that the server told, and which of them is looked at. No machine of its own.

export const told = { labels: [], steps: [] };
export const view = { at: 0, live: true, recorded: false };
const listeners = [];

export function onChange(listener) { listeners.push(listener); }
export function changed() { for (const listener of listeners) listener(); }

export function step() { return told.steps[view.at]; }
export function before() { return told.steps[view.at - 1]; }
export function side(n) { return step().sides[n].state; }

export function go(n) {
  view.at = Math.max(0, Math.min(n, told.steps.length - 1));
  view.live = !view.recorded && view.at === told.steps.length - 1;
  history.replaceState(null, "", view.live ? "#" : "#step=" + view.at);
  changed();
}

export function begin(all) {
  told.labels = all.labels;
  told.steps = all.steps;
  const asked = /^#step=(\d+)$/.exec(location.hash);
  if (asked) go(Number(asked[1]));
  else go(view.recorded ? 0 : told.steps.length - 1);
}

export function add(one) {
  told.steps.push(one);
  if (view.live) view.at = told.steps.length - 1;
  changed();
}

/** Writes a text to a file of every machine; what the shell would say of each. */
export async function write(path, text) {
  const answer = await fetch("write", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ path, text }),
  });
  if (!answer.ok) throw new Error((await answer.text()).trim());
  if (!view.live) go(told.steps.length - 1);
  return (await answer.json()).outcomes;
}

export const echo = (path, word) => write(path, word + "\n");
export const ask = (name, body = {}) => write("/control/" + name, JSON.stringify(body));

/** The lines of the log or of the uevents up to the step that is looked at: [side, entry, is new]. */
export function lines(key) {
  const found = [];
  for (let n = 0; n <= view.at; n++)
    told.steps[n].sides.forEach((one, of) => { for (const entry of one[key]) found.push([of, entry, n === view.at && n > 0]); });
  return found;
}

export const hex = (n) => "0x" + n.toString(16);

export function size(bytes) {
  for (const [unit, name] of [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]])
    if (bytes >= unit) return `${+(bytes / unit).toFixed(2)} ${name}`;
  return bytes + " B";
}

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** The state of block n: 0 where there is none; runs are [first, count, state], ascending. */
export function blockState(runs, n) {
  let low = 0, high = runs.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (runs[mid][0] <= n) low = mid + 1; else high = mid;
  }
  const run = runs[low - 1];
  return run && n < run[0] + run[1] ? run[2] : 0;
}
