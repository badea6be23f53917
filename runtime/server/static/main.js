// The page: connects the picture, the tools, the lists and the server.

import { Connection } from "./connection.js";
import { listenToKeys } from "./keys.js";
import { Marking } from "./marking.js";
import { Panel } from "./panel.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";

const element = (id) => document.getElementById(id);
const connection = new Connection();
const stage = new Stage(element("canvas"));
let status = null;
let connected = false;
let wanted = null; // frame that the person asked for last

const page = {
  controls: () => connected && Boolean(status?.controls),
  playing: () => status?.state === "playing",
  say,
  select,
  accepted(entry) {
    select(null);
    say(`Object ${entry.id}${entry.name ? ` (${entry.name})` : ""} is followed from here on. Press play.`, "good");
  },
};
const marking = new Marking(stage, connection, page);
const panel = new Panel(element("objects"), { act, select, selected: () => stage.selected });
const timeline = new Timeline(element("timeline"), element("tracks"), { seek });

connection.addEventListener("open", () => {
  connected = true;
  stage.picture = null; // numbers of pictures begin again where the server was started anew
});
connection.addEventListener("close", () => {
  connected = false;
  render();
});
connection.addEventListener("status", ({ detail }) => {
  status = detail;
  const known = new Map(detail.objects.map((one) => [one.id, one]));
  stage.objects = known;
  if (stage.selected && !known.has(stage.selected)) stage.selected = null;
  render();
  stage.drawSoon();
});
connection.addEventListener("picture", async ({ detail }) => {
  try {
    await stage.show(detail);
  } finally {
    connection.shown();
  }
  panel.show(status?.objects ?? [], detail.objects);
  timeline.move(detail.frame);
  element("position").textContent = positionText(detail);
});

function positionText({ frame, time }) {
  const total = status?.count ? ` / ${status.count - 1}` : "";
  return `frame ${frame}${total}   ${clock(time)}`;
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}

// Ask the server for an action, and show what it refuses.
async function act(type, fields = {}) {
  try {
    return await connection.ask(type, fields);
  } catch (error) {
    say(error.message);
    return null;
  }
}

function seek(frame) {
  if (!status || status.live || !page.controls()) return;
  const last = (status.count ?? Infinity) - 1;
  wanted = Math.max(status.first, Math.min(last, frame));
  if (seek.running) return;
  seek.running = true;
  marking.close();
  (async () => {
    while (wanted !== null) {
      const next = wanted;
      wanted = null;
      timeline.move(next);
      await act("seek", { frame: next });
    }
    seek.running = false;
  })();
}

function select(id) {
  if (marking.draft) marking.cancel();
  stage.selected = id;
  panel.show(status?.objects ?? [], stage.picture?.objects ?? []);
  stage.drawSoon();
  if (id) say("Click where the mask is wrong: on the object, or with Shift on what is not the object.", "info");
  else hush("info");
}

let quiet = 0;
function say(text, kind = "bad") {
  const hint = element("hint");
  hint.textContent = text;
  hint.dataset.kind = kind;
  hint.hidden = false;
  clearTimeout(quiet);
  quiet = setTimeout(() => hush(kind), kind === "bad" ? 7000 : 4000);
}

function hush(kind) {
  if (element("hint").dataset.kind === kind) element("hint").hidden = true;
}

function render() {
  const state = element("state");
  const lost = connected && status?.lost != null;
  const word = !connected ? "no connection" : lost ? "source lost" : (status?.state ?? "connecting");
  state.textContent = word;
  state.dataset.state = !connected || lost ? "bad" : word;
  document.body.dataset.playing = String(page.playing());
  element("play").setAttribute("aria-label", page.playing() ? "Pause" : "Play");
  const banner = element("banner");
  banner.hidden = !(lost || !connected || status?.problem);
  if (!connected) banner.textContent = "The connection to the server is lost. The page tries again.";
  else if (lost) banner.textContent = `The source is lost since ${Math.round(status.lost)} s. The picture is its last frame.`;
  else banner.textContent = status?.problem ?? "";
  if (!status) return;
  facts();
  if (status.state === "starting") say("The network is being prepared. The first start on a machine takes a minute.", "info");
  const controls = page.controls();
  element("take").hidden = !connected || status.controls;
  for (const id of ["play", "step", "record", "new"]) element(id).disabled = !controls;
  for (const id of ["back", "restart"]) element(id).disabled = !controls || status.live;
  for (const button of document.querySelectorAll("[data-tool]")) button.disabled = !controls;
  element("record").classList.toggle("on", status.recording !== null);
  element("record").querySelector("span").textContent = status.recording === null ? "Record" : "Stop";
  element("empty").hidden = status.objects.length > 0;
  panel.show(status.objects, stage.picture?.objects ?? []);
  panel.recordings(element("recordings"), status.recordings);
  for (const link of document.querySelectorAll("#downloads a")) {
    const off = status.timeline === 0 || (status.live && link.href.endsWith("overlay.mp4"));
    link.setAttribute("aria-disabled", String(off));
    link.tabIndex = off ? -1 : 0;
  }
  element("timeline").hidden = status.objects.length === 0 && status.live;
  timeline.update(status);
  document.title = `${status.objects.length ? `${status.objects.length} ` : ""}shls`;
}

function facts() {
  const parts = [`${status.fps.toFixed(1)} fps`];
  if (status.live && status.age !== null) parts.push(`${Math.round(1000 * status.age)} ms old`);
  if (status.live) parts.push(`${status.dropped} dropped`, `${status.breaks} breaks`);
  parts.push(status.backend, `${status.size[0]}×${status.size[1]}`);
  if (status.viewers > 1) parts.push(`${status.viewers} viewers`);
  element("facts").replaceChildren(
    ...parts.map((text) => {
      const part = document.createElement("span");
      part.textContent = text;
      return part;
    }),
  );
}

const commands = {
  play: () => {
    if (marking.draft) marking.cancel();
    act(page.playing() ? "pause" : "play");
  },
  step: () => act("step"),
  back: () => stage.picture && seek(stage.picture.frame - 1),
  restart: () => status && seek(status.first),
  end: () => status?.count && seek(status.count - 1),
  record: () => act("record", { on: status?.recording === null }),
  take: () => act("control"),
  new: () => select(null),
  accept: () => marking.accept(),
  cancel: () => (marking.draft ? marking.cancel() : select(null)),
  undo: () => marking.undo(),
  remove: () => stage.selected && panel.remove(stage.selected),
  hide: () => {
    const one = status?.objects.find((object) => object.id === stage.selected);
    if (one) act("object", { object: one.id, hidden: !one.hidden });
  },
  tool: (name) => page.controls() && marking.setTool(name),
  brush: (by) => setBrush(marking.radius + by),
  choose: (number) => status?.objects.some((one) => one.id === number) && select(number),
  help: () => (element("help").open ? element("help").close() : element("help").showModal()),
  toggle: (id) => element(id).click(),
};

for (const id of ["play", "step", "back", "restart", "record", "take", "new"]) element(id).onclick = commands[id];
for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => commands.tool(button.dataset.tool);
element("help-open").onclick = commands.help;
element("help-close").onclick = commands.help;
element("help").onclick = (event) => event.target === element("help") && element("help").close();
listenToKeys(commands, element("keys"));

function setBrush(radius) {
  marking.radius = Math.max(2, Math.min(80, radius));
  element("brush-size").value = marking.radius;
  if (stage.cursor) stage.cursor.radius = marking.radius;
  stage.drawSoon();
}
element("brush-size").oninput = (event) => setBrush(Number(event.target.value));

// Settings of this browser alone.
function keep(id, apply) {
  const input = element(id);
  const read = () => (input.type === "checkbox" ? input.checked : Number(input.value));
  const saved = localStorage.getItem(`shls-${id}`);
  if (saved !== null) {
    if (input.type === "checkbox") input.checked = saved === "true";
    else input.value = saved;
  }
  apply(read());
  input.oninput = () => {
    localStorage.setItem(`shls-${id}`, String(read()));
    apply(read());
    stage.drawSoon();
  };
}
keep("opacity", (value) => (stage.opacity = value / 100));
keep("outline", (value) => (stage.outline = value));
keep("names", (value) => (stage.names = value));

connection.open();
