// The picture: the frame, the objects over it, and the marks of the draft.

const OBJECT_ON = "#35e07f";
const OBJECT_OFF = "#ff5a4f";

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.layer = document.createElement("canvas");
    this.layerContext = this.layer.getContext("2d");
    this.opacity = 0.45;
    this.outline = true;
    this.names = true;
    this.objects = new Map(); // id -> {name, color, hidden}
    this.selected = null;
    this.draft = null; // {mask, color, boxes, points, nots, strokes, drag}
    this.picture = null;
    this.image = null;
    this.cursor = null; // {x, y, radius} of the brush, frame pixels
    this.pending = false;
    new ResizeObserver(() => this.drawSoon()).observe(canvas);
  }

  // Show a picture of the server; the promise ends when its image is decoded.
  async show(picture) {
    const image = await createImageBitmap(picture.jpeg);
    if (this.picture && picture.number < this.picture.number) return image.close();
    this.image?.close();
    this.image = image;
    this.picture = picture;
    const [width, height] = picture.picture;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = this.layer.width = width;
      this.canvas.height = this.layer.height = height;
      this.canvas.style.setProperty("--ratio", width / height);
      this.pixels = this.layerContext.createImageData(width, height);
    }
    if (!this.pixels) {
      this.layer.width = width;
      this.layer.height = height;
      this.pixels = this.layerContext.createImageData(width, height);
    }
    this.drawSoon();
  }

  drawSoon() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.draw();
    });
  }

  // Pixels of the canvas per pixel of the frame, and per pixel of the screen.
  get scale() {
    return this.picture ? this.picture.picture[0] / this.picture.size[0] : 1;
  }

  get zoom() {
    return this.canvas.width / Math.max(1, this.canvas.getBoundingClientRect().width);
  }

  // Position of a pointer, frame pixels.
  position(event) {
    const box = this.canvas.getBoundingClientRect();
    const [width, height] = this.picture?.size ?? [this.canvas.width, this.canvas.height];
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  // Id of the object at a position, 0 for none.
  objectAt([x, y]) {
    if (!this.picture) return 0;
    const column = Math.floor(x * this.scale);
    const row = Math.floor(y * this.scale);
    const [width, height] = this.picture.picture;
    if (column < 0 || row < 0 || column >= width || row >= height) return 0;
    const id = this.picture.labels[row * width + column];
    return this.objects.get(id)?.hidden ? 0 : id;
  }

  draw() {
    if (!this.image) return;
    const context = this.context;
    context.globalAlpha = 1;
    context.drawImage(this.image, 0, 0);
    this.paint();
    context.drawImage(this.layer, 0, 0);
    if (this.names) this.writeNames();
    if (this.draft) this.drawDraft();
    if (this.cursor) this.drawCursor();
  }

  // Colour the objects; an outline has a bright and a dark line, so that it reads on any ground.
  paint() {
    const { width, height, data } = this.pixels;
    const out = new Uint32Array(data.buffer);
    const labels = this.picture.labels;
    const fill = new Uint32Array(256);
    const edge = new Uint32Array(256);
    const halo = 0xa0000000;
    for (const [id, { color, hidden }] of this.objects) {
      if (hidden) continue;
      const strength = id === this.selected ? Math.min(1, this.opacity * 1.25) : this.opacity;
      fill[id] = packed(color, strength);
      edge[id] = this.outline ? packed(color, 1, id === this.selected ? 0.75 : 0.35) : fill[id];
    }
    const draft = this.draft?.mask;
    const correcting = this.draft?.object ?? -1;
    const draftFill = draft ? packed(this.draft.color, Math.max(0.35, this.opacity)) : 0;
    const draftEdge = draft ? packed(this.draft.color, 1, 0.85) : 0;
    const id = new Uint8Array(labels.length);
    for (let at = 0; at < labels.length; at++) {
      const label = labels[at];
      id[at] = draft && draft[at] ? 255 : label !== correcting || !draft ? (fill[label] ? label : 0) : 0;
    }
    fill[255] = draftFill;
    edge[255] = draftEdge;
    for (let y = 0, at = 0; y < height; y++) {
      const up = y ? -width : 0;
      const down = y < height - 1 ? width : 0;
      for (let x = 0; x < width; x++, at++) {
        const own = id[at];
        const left = id[x ? at - 1 : at];
        const right = id[x < width - 1 ? at + 1 : at];
        const above = id[at + up];
        const below = id[at + down];
        if (left === own && right === own && above === own && below === own) out[at] = fill[own];
        else if (own) out[at] = edge[own];
        else out[at] = this.outline || left === 255 || right === 255 || above === 255 || below === 255 ? halo : 0;
      }
    }
    this.layerContext.putImageData(this.pixels, 0, 0);
  }

  writeNames() {
    const context = this.context;
    const zoom = this.zoom;
    context.font = `600 ${Math.round(13 * zoom)}px system-ui, sans-serif`;
    context.lineJoin = "round";
    for (const one of this.picture.objects) {
      const known = this.objects.get(one.id);
      if (!one.box || !known || known.hidden) continue;
      const text = known.name ? `${one.id} ${known.name}` : `${one.id}`;
      const [x, y] = this.topOf(one);
      const width = context.measureText(text).width + 10 * zoom;
      const left = Math.max(0, Math.min(x - width / 2, this.canvas.width - width));
      const top = Math.max(0, y - 22 * zoom);
      context.fillStyle = "rgba(12, 14, 16, 0.78)";
      context.beginPath();
      context.roundRect(left, top, width, 19 * zoom, 4 * zoom);
      context.fill();
      context.fillStyle = known.color;
      context.fillRect(left, top + 3 * zoom, 3 * zoom, 13 * zoom);
      context.fillStyle = "#fff";
      context.textBaseline = "middle";
      context.fillText(text, left + 6 * zoom, top + 10 * zoom);
    }
  }

  // Middle of the topmost row of an object, pixels of the canvas.
  topOf({ id, box }) {
    const [width, height] = this.picture.picture;
    const row = Math.min(height - 1, Math.ceil(box[1] * this.scale));
    const begin = row * width;
    const first = this.picture.labels.indexOf(id, begin);
    if (first < 0 || first >= begin + width) return [(box[0] + box[2] / 2) * this.scale, row];
    return [(first + this.picture.labels.lastIndexOf(id, begin + width - 1)) / 2 - begin, row];
  }

  drawDraft() {
    const context = this.context;
    const { scale, zoom } = this;
    const { boxes, points, nots, drag, stroke } = this.draft;
    for (const box of drag ? [...boxes, drag] : boxes) {
      const [x, y, width, height] = box.map((value) => value * scale);
      context.lineWidth = 3 * zoom;
      context.strokeStyle = "rgba(0, 0, 0, 0.55)";
      context.setLineDash([]);
      context.strokeRect(x, y, width, height);
      context.lineWidth = 1.5 * zoom;
      context.strokeStyle = "#fff";
      context.setLineDash([6 * zoom, 4 * zoom]);
      context.strokeRect(x, y, width, height);
      context.setLineDash([]);
    }
    if (stroke) {
      context.strokeStyle = stroke.erase ? "rgba(255, 90, 79, 0.6)" : "rgba(255, 255, 255, 0.6)";
      context.lineWidth = 2 * stroke.radius * scale;
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      for (const [x, y] of stroke.points) context.lineTo(x * scale, y * scale);
      const [x, y] = stroke.points[0];
      if (stroke.points.length === 1) context.lineTo(x * scale + 0.1, y * scale);
      context.stroke();
    }
    for (const point of points) this.dot(point, OBJECT_ON, true);
    for (const point of nots) this.dot(point, OBJECT_OFF, false);
  }

  dot([x, y], color, plus) {
    const context = this.context;
    const { scale, zoom } = this;
    const [left, top, radius] = [x * scale, y * scale, 7 * zoom];
    context.beginPath();
    context.arc(left, top, radius, 0, 7);
    context.fillStyle = color;
    context.fill();
    context.lineWidth = 2 * zoom;
    context.strokeStyle = "rgba(0, 0, 0, 0.8)";
    context.stroke();
    context.beginPath();
    context.moveTo(left - radius / 2, top);
    context.lineTo(left + radius / 2, top);
    if (plus) {
      context.moveTo(left, top - radius / 2);
      context.lineTo(left, top + radius / 2);
    }
    context.stroke();
  }

  drawCursor() {
    const context = this.context;
    const { x, y, radius } = this.cursor;
    context.lineWidth = 1.5 * this.zoom;
    for (const [shift, color] of [[0, "#fff"], [1.5 * this.zoom, "#000"]]) {
      context.strokeStyle = color;
      context.beginPath();
      context.arc(x * this.scale, y * this.scale, radius * this.scale + shift, 0, 7);
      context.stroke();
    }
  }
}

// #rrggbb with an opacity as the uint32 of a canvas's pixel; `light` mixes white in.
function packed(color, opacity, light = 0) {
  const value = parseInt(color.slice(1), 16);
  const mix = (part) => Math.round(part + (255 - part) * light);
  const [red, green, blue] = [mix(value >> 16), mix((value >> 8) & 255), mix(value & 255)];
  return ((Math.round(opacity * 255) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
