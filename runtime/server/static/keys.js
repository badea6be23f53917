// Keyboard shortcuts, and the table of them in the help.

const KEYS = [
  ["Space", "Play or pause", (to) => to.play()],
  ["ArrowRight", "Follow one frame", (to) => to.step(), "Right"],
  ["ArrowLeft", "One frame back", (to) => to.back(), "Left"],
  ["Home", "First frame", (to) => to.restart()],
  ["End", "Last frame", (to) => to.end()],
  ["v", "Mark: click, or drag a box", (to) => to.tool("mark")],
  ["x", "Not this: click on what is not the object", (to) => to.tool("not")],
  ["b", "Paint", (to) => to.tool("paint")],
  ["e", "Erase", (to) => to.tool("erase")],
  ["[", "Smaller brush", (to) => to.brush(-3)],
  ["]", "Larger brush", (to) => to.brush(3)],
  ["Enter", "Accept the mask", (to) => to.accept()],
  ["Escape", "Cancel the mask, or choose no object", (to) => to.cancel(), "Esc"],
  ["Ctrl+z", "Take back the last mark", (to) => to.undo(), "Ctrl Z"],
  ["n", "New object", (to) => to.new()],
  ["1-9", "Choose an object to correct", null, "1 to 9"],
  ["h", "Hide or show the chosen object", (to) => to.hide()],
  ["Delete", "Remove the chosen object", (to) => to.remove()],
  ["o", "Outlines", (to) => to.toggle("outline")],
  ["l", "Names", (to) => to.toggle("names")],
  ["r", "Start or stop a recording", (to) => to.record()],
  ["?", "This help", (to) => to.help()],
];

export function listenToKeys(commands, table) {
  for (const [key, meaning, , shown] of KEYS) {
    const row = table.insertRow();
    const cap = document.createElement("kbd");
    cap.textContent = shown ?? (key.length === 1 ? key.toUpperCase() : key);
    row.insertCell().append(cap);
    row.insertCell().textContent = meaning;
  }
  const byKey = new Map(KEYS.map(([key, , act]) => [key, act]));
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches?.("input[type=text], input[type=password]");
    if (document.getElementById("help").open) return;
    if (typing && event.key !== "Escape") return;
    if (typing) event.target.blur();
    const letter = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.altKey || ((event.ctrlKey || event.metaKey) && letter !== "z")) return;
    if (/^[1-9]$/.test(letter)) return commands.choose(Number(letter));
    const name = event.ctrlKey || event.metaKey ? `Ctrl+${letter}` : letter;
    if ((name === "Space" || name === "Enter") && event.target.matches?.("button, a, input")) return;
    const act = byKey.get(name);
    if (!act) return;
    event.preventDefault();
    act(commands);
  });
}
