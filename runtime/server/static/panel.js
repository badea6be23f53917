// The list of objects, and the list of recordings. Names are set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";
const EYE = "M2 12s4-7 10-7 10 7 10 7-4 7-10 7-10-7-10-7zM12 9a3 3 0 100 6 3 3 0 000-6z";
const EYE_OFF = "M3 3l18 18M6 7c-2.5 2-4 5-4 5s4 7 10 7c2 0 3.5-.7 5-1.5M10 5c.7-.1 1.3-.1 2-.1 6 0 10 7 10 7s-.9 1.7-2.5 3.5";
const TRASH = "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13";
const STOP = "M5 4v16M5 5h11l-2 4 2 4H5";

export class Panel {
  constructor(list, page) {
    this.list = list;
    this.page = page; // {act(type, fields), select(id), selected()}
    this.rows = new Map();
  }

  // objects: what the session knows; found: what the picture has.
  show(objects, found) {
    const byId = new Map(found.map((one) => [one.id, one]));
    for (const [id, row] of this.rows) {
      if (objects.some((one) => one.id === id)) continue;
      row.remove();
      this.rows.delete(id);
    }
    for (const one of objects) {
      if (!this.rows.has(one.id)) {
        const row = this.make(one.id);
        this.rows.set(one.id, row);
        this.list.append(row);
      }
      this.fill(this.rows.get(one.id), one, byId.get(one.id));
    }
  }

  make(id) {
    const row = document.createElement("li");
    row.dataset.object = id;
    const color = input("color", "Colour");
    color.onchange = () => this.page.act("object", { object: id, color: color.value });
    const name = input("text", "Name");
    name.maxLength = 60;
    name.placeholder = `Object ${id}`;
    name.autocomplete = "off";
    name.onchange = async () => {
      const done = await this.page.act("object", { object: id, name: name.value });
      if (!done) name.value = name.dataset.known ?? "";
    };
    name.onkeydown = (event) => {
      if (event.key === "Enter") name.blur();
      event.stopPropagation();
    };
    const facts = document.createElement("span");
    facts.className = "object-facts";
    const bar = document.createElement("i");
    bar.className = "bar";
    bar.append(document.createElement("b"));
    const hide = iconButton(EYE, "Hide or show the object (H)");
    hide.className = "icon hide";
    hide.onclick = () => this.page.act("object", { object: id, hidden: row.dataset.hidden !== "true" });
    const end = iconButton(STOP, "Follow the object no longer from this frame on");
    end.className = "icon end";
    end.onclick = () => this.page.act("end", { object: id });
    const remove = iconButton(TRASH, "Remove the object from all frames (Delete)");
    remove.className = "icon remove";
    remove.onclick = () => this.remove(id);
    row.append(color, name, hide, end, remove, facts, bar);
    row.onclick = (event) => {
      if (event.target.closest("input, button")) return;
      this.page.select(this.page.selected() === id ? null : id);
    };
    return row;
  }

  fill(row, one, found) {
    const [color, name] = row.querySelectorAll("input");
    if (document.activeElement !== color) color.value = one.color;
    if (document.activeElement !== name) name.value = one.name;
    name.dataset.known = one.name;
    row.dataset.hidden = String(one.hidden);
    row.dataset.lost = String(Boolean(found?.lost));
    row.setAttribute("aria-selected", String(this.page.selected() === one.id));
    row.querySelector(".hide path").setAttribute("d", one.hidden ? EYE_OFF : EYE);
    row.querySelector(".end").disabled = !found?.followed;
    const facts = row.querySelector(".object-facts");
    if (!found?.followed) facts.textContent = "not followed here";
    else if (found.lost) facts.textContent = "not visible";
    else facts.textContent = `${found.area.toLocaleString("en")} px · confidence ${found.confidence.toFixed(2)}`;
    const bar = row.querySelector(".bar b");
    bar.style.width = `${100 * (found?.confidence ?? 0)}%`;
    bar.style.background = one.color;
  }

  remove(id) {
    const name = this.rows.get(id)?.querySelector("input[type=text]").value || `Object ${id}`;
    if (confirm(`Remove "${name}" from all frames?`)) this.page.act("remove", { object: id });
  }

  recordings(list, recordings) {
    const key = JSON.stringify(recordings);
    if (list.dataset.key === key) return;
    list.dataset.key = key;
    list.replaceChildren(
      ...recordings.map((one) => {
        const link = document.createElement(one.running ? "span" : "a");
        const size = document.createElement("small");
        link.textContent = `Recording ${one.id} `;
        size.textContent = one.running ? `${one.frames} frames, running` : `${one.frames} frames`;
        if (!one.running) link.href = `/api/recordings/${one.id}`;
        link.append(size);
        const row = document.createElement("li");
        row.append(link);
        return row;
      }),
    );
  }
}

function input(type, label) {
  const made = document.createElement("input");
  made.type = type;
  made.setAttribute("aria-label", label);
  return made;
}

function iconButton(shape, title) {
  const button = document.createElement("button");
  button.type = "button";
  button.title = title;
  button.setAttribute("aria-label", title);
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", shape);
  picture.append(path);
  button.append(picture);
  return button;
}
