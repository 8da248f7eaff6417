// Any file of the tree: read as cat shows it, written as echo does, with the errno as the shell says it.
import { element, told, view, write } from "kdumpfs/model";

const by = (id) => document.getElementById(id);

export async function open(path, machine) {
  by("path").value = path;
  if (machine !== undefined) by("which").value = machine;
  const query = new URLSearchParams({ path, machine: by("which").value || "0" });
  const answer = await (await fetch("file?" + query)).json();
  by("content").classList.toggle("refusal", Boolean(answer.error));
  by("content").textContent = answer.error ?? (answer.names ? "" : answer.binary ? `binary\n${answer.text}` : answer.text);
  const here = answer.names ?? [];
  const up = path.replace(/\/[^/]*\/?$/, "") || "/";
  by("names").replaceChildren(
    ...(path === "/" ? [] : [element("button", { type: "button", onclick: () => open(up) }, "..")]),
    ...here.slice(0, 2000).map(([name, kind]) => element("button", { type: "button", onclick: () => open(path.replace(/\/$/, "") + "/" + name) }, name + { dir: "/", link: "@", file: "" }[kind])));
}

export function setUp(say) {
  by("open").addEventListener("submit", (event) => { event.preventDefault(); open(by("path").value); });
  by("echo").addEventListener("submit", async (event) => {
    event.preventDefault();
    const path = by("path").value, text = by("text").value;
    try {
      const outcomes = await say(write(path, text + "\n"));
      by("answer").textContent = [`$ echo '${text}' > ${path.replace(/^\//, "")}`, ...new Set(outcomes.filter(Boolean))].join("\n");
      await open(path);
    } catch { by("answer").textContent = "the server does not answer"; }
  });
  document.addEventListener("open-file", (event) => open(...event.detail));
}

export function begun() {
  by("which").replaceChildren(...told.labels.map((label, n) => element("option", { value: n }, label)));
  by("which").hidden = told.labels.length < 2;
  if (!view.recorded) open(by("path").value);
}
