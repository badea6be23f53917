// Marking: pointers and tools make a draft, the server answers each change with a mask.

import { expand, fromBase64 } from "./connection.js";

const DRAG = 6; // pixels of the screen from which on a press is a box
const NEW_COLOR = "#ffffff";

export class Marking {
  constructor(stage, connection, page) {
    this.stage = stage;
    this.connection = connection;
    this.page = page; // {controls(), say(text), select(id), brush()}
    this.tool = "mark";
    this.radius = 14;
    this.draft = null;
    this.press = null;
    this.sequence = 0;
    this.form = document.getElementById("draft");
    this.text = document.getElementById("draft-text");
    this.name = document.getElementById("draft-name");
    this.listen();
  }

  listen() {
    const canvas = this.stage.canvas;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.release());
    canvas.addEventListener("pointerleave", () => {
      this.stage.cursor = null;
      this.stage.drawSoon();
    });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.accept();
    });
    document.getElementById("draft-undo").onclick = () => this.undo();
    document.getElementById("draft-cancel").onclick = () => this.cancel();
  }

  setTool(tool) {
    this.tool = tool;
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    }
    document.getElementById("brush").hidden = !this.isBrush;
    this.stage.cursor = null;
    this.stage.drawSoon();
  }

  get isBrush() {
    return this.tool === "paint" || this.tool === "erase";
  }

  down(event) {
    if (event.button > 2 || !this.stage.picture) return;
    if (!this.page.controls()) return this.page.say("Another page controls the session. Take the control to mark objects.");
    this.stage.canvas.setPointerCapture(event.pointerId);
    this.stage.canvas.focus({ preventScroll: true });
    event.preventDefault();
    const position = this.stage.position(event);
    this.press = { position, at: [event.clientX, event.clientY], not: event.shiftKey || event.button === 2 };
    if (this.isBrush) {
      this.begin();
      this.press.stroke = { points: [position], radius: this.radius, erase: this.tool === "erase" };
      this.draft.stroke = this.press.stroke;
      this.stage.drawSoon();
    }
  }

  move(event) {
    const position = this.stage.position(event);
    if (this.isBrush) {
      this.stage.cursor = { x: position[0], y: position[1], radius: this.radius };
      if (this.press?.stroke && this.press.stroke.points.length < 1900) this.press.stroke.points.push(position);
      return this.stage.drawSoon();
    }
    if (!this.press) return;
    const [x, y] = this.press.at;
    if (this.press.box || Math.hypot(event.clientX - x, event.clientY - y) >= DRAG) {
      this.press.box = boxOf(this.press.position, position, this.stage.picture.size);
      this.begin();
      this.draft.drag = this.press.box;
      this.stage.drawSoon();
    }
  }

  up(event) {
    const press = this.press;
    this.release();
    if (!press) return;
    const position = this.stage.position(event);
    if (press.stroke) {
      this.add({ kind: "strokes", value: press.stroke });
    } else if (press.box) {
      if (press.box[2] >= 1 && press.box[3] >= 1) this.add({ kind: "boxes", value: press.box });
    } else {
      const not = press.not || this.tool === "not";
      this.click(position, not);
    }
  }

  release() {
    this.press = null;
    if (this.draft) this.draft.drag = this.draft.stroke = null;
    this.stage.drawSoon();
  }

  click(position, not) {
    if (!this.draft && !not) {
      const id = this.stage.objectAt(position);
      if (id && this.stage.selected !== id) return this.page.select(id); // the next click corrects it
    }
    if (not && !this.draft && !this.stage.selected) {
      const id = this.stage.objectAt(position);
      if (!id) return this.page.say("Mark the object first. Then click on what is not the object.");
      this.page.select(id);
    }
    this.add({ kind: not ? "not" : "points", value: position });
  }

  // Begin a draft: a correction of the selected object, or a new object.
  begin() {
    if (this.draft) return;
    const object = this.stage.selected;
    const known = object ? this.stage.objects.get(object) : null;
    this.draft = this.stage.draft = {
      object,
      frame: this.stage.picture.frame,
      color: known?.color ?? NEW_COLOR,
      steps: [],
      boxes: [],
      points: [],
      nots: [],
      mask: null,
    };
    this.name.value = known?.name ?? "";
  }

  add(step) {
    this.begin();
    this.draft.steps.push(step);
    this.refresh();
  }

  undo() {
    if (!this.draft) return;
    this.draft.steps.pop();
    if (this.draft.steps.length) this.refresh();
    else this.cancel();
  }

  // Ask the server for the mask of all steps so far.
  async refresh() {
    const draft = this.draft;
    const of = (kind) => draft.steps.filter((step) => step.kind === kind).map((step) => step.value);
    draft.boxes = of("boxes");
    draft.points = of("points");
    draft.nots = of("not");
    this.show("Looking ...");
    this.stage.drawSoon();
    const sequence = ++this.sequence;
    const fields = {
      object: draft.object,
      frame: draft.frame,
      boxes: draft.boxes.map(rounded),
      points: draft.points.map(rounded),
      not: draft.nots.map(rounded),
      strokes: of("strokes").map((stroke) => ({ ...stroke, points: stroke.points.map(rounded) })),
      compact: true,
    };
    try {
      const found = await this.connection.ask("prompt", fields);
      if (sequence !== this.sequence || this.draft !== draft) return;
      draft.mask = expand(fromBase64(found.runs), found.size[0] * found.size[1]);
      draft.ready = true;
      this.show(`${draft.object ? "Correction" : "New object"} · ${found.area.toLocaleString("en")} px · ${found.milliseconds} ms`);
    } catch (error) {
      if (sequence !== this.sequence || this.draft !== draft) return;
      this.page.say(error.message);
      draft.steps.pop();
      if (draft.steps.length) this.refresh();
      else this.cancel();
    }
    this.stage.drawSoon();
  }

  show(text) {
    this.text.textContent = text;
    this.form.hidden = false;
    document.getElementById("transport").hidden = true;
  }

  async accept() {
    const draft = this.draft;
    if (!draft?.ready) return;
    const name = this.name.value.trim();
    try {
      const entry = await this.connection.ask("accept", { name });
      this.close();
      this.page.accepted(entry);
    } catch (error) {
      this.page.say(error.message);
    }
  }

  cancel() {
    if (!this.draft) return;
    this.close();
    this.connection.ask("cancel").catch(() => {});
  }

  close() {
    this.sequence++;
    this.draft = this.stage.draft = null;
    this.form.hidden = true;
    document.getElementById("transport").hidden = false;
    this.name.blur();
    this.stage.drawSoon();
  }
}

function boxOf([x0, y0], [x1, y1], [width, height]) {
  const [left, right] = [Math.max(0, Math.min(x0, x1)), Math.min(width, Math.max(x0, x1))];
  const [top, bottom] = [Math.max(0, Math.min(y0, y1)), Math.min(height, Math.max(y0, y1))];
  return [left, top, right - left, bottom - top];
}

function rounded(values) {
  return values.map((value) => Math.round(value * 10) / 10);
}
