// The time line: confidence (height) of each object, stretches in which it is lost, and the frame that is shown.

const ROW = 26;
const TOP = 6;

export class Timeline {
  constructor(box, canvas, page) {
    this.box = box;
    this.canvas = canvas;
    this.page = page; // {seek(frame)}
    this.data = null;
    this.frame = 0;
    this.objects = new Map();
    this.loading = false;
    this.version = -1;
    new ResizeObserver(() => this.draw()).observe(box);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.drag = true;
      this.page.seek(this.frameAt(event));
    });
    canvas.addEventListener("pointermove", (event) => this.drag && this.page.seek(this.frameAt(event)));
    canvas.addEventListener("pointerup", () => (this.drag = false));
    canvas.addEventListener("pointercancel", () => (this.drag = false));
  }

  // Fetch the time line when the session has a newer one, at most once a second.
  async update(status) {
    const before = [...this.objects.values()].map((one) => one.color).join();
    this.objects = new Map(status.objects.map((one) => [one.id, one]));
    this.status = status;
    if ([...this.objects.values()].map((one) => one.color).join() !== before) this.draw();
    this.canvas.setAttribute("aria-valuemin", status.first);
    this.canvas.setAttribute("aria-valuemax", (status.count ?? 1) - 1);
    if (this.loading || (this.version === status.timeline && this.data)) return;
    this.loading = true;
    const columns = Math.max(50, Math.min(1200, Math.round(this.box.clientWidth)));
    try {
      const answer = await fetch(`/api/timeline?columns=${columns}`);
      if (answer.ok) {
        this.data = await answer.json();
        this.version = this.data.version;
        this.draw();
      }
    } catch {
      // The connection is lost; the next status asks again.
    }
    setTimeout(() => (this.loading = false), 900);
  }

  move(frame) {
    this.frame = frame;
    this.canvas.setAttribute("aria-valuenow", frame);
    this.draw();
  }

  get span() {
    if (!this.data) return [this.status?.first ?? 0, this.status?.count ?? 1];
    return [this.data.first, Math.max(this.data.last, this.data.first + 1)];
  }

  frameAt(event) {
    const area = this.canvas.getBoundingClientRect();
    const [first, last] = this.span;
    const part = Math.max(0, Math.min(1, (event.clientX - area.left) / area.width));
    return Math.min(last - 1, first + Math.floor(part * (last - first)));
  }

  draw() {
    const rows = this.data?.objects ?? [];
    const width = this.box.clientWidth;
    const height = TOP + Math.max(1, rows.length) * ROW + 4;
    const ratio = window.devicePixelRatio || 1;
    if (!width) return;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.height = `${height}px`;
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const [first, last] = this.span;
    const x = (frame) => ((frame - first) / (last - first)) * width;
    if (!rows.length) {
      context.fillStyle = "#262b31";
      context.fillRect(0, TOP, width, ROW - 6);
    }
    rows.forEach((row, index) => this.drawRow(context, row, TOP + index * ROW, width, x));
    const here = x(this.frame + 0.5);
    context.fillStyle = "#f2f4f6";
    context.fillRect(here - 1, 0, 2, height);
    context.beginPath();
    context.arc(here, 4, 4, 0, 7);
    context.fill();
  }

  // A stretch in which the object is not visible: red stripes, which differ from each object's colour.
  drawLost(context, left, top, width, height) {
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.fillStyle = "#3a1512";
    context.fillRect(left, top, width, height);
    context.strokeStyle = "#ff6b60";
    context.lineWidth = 2;
    context.beginPath();
    for (let at = left - height; at < left + width; at += 7) {
      context.moveTo(at, top + height);
      context.lineTo(at + height, top);
    }
    context.stroke();
    context.restore();
  }

  drawRow(context, row, top, width, x) {
    const known = this.objects.get(row.id);
    const color = known?.color ?? "#888888";
    const high = ROW - 6;
    context.fillStyle = "#23282e";
    context.fillRect(0, top, width, high);
    const step = width / this.data.columns;
    context.fillStyle = color;
    context.globalAlpha = known?.hidden ? 0.25 : 0.85;
    row.confidence.forEach((value, column) => {
      if (value === null) return;
      const tall = Math.max(1, value * high);
      context.fillRect(column * step, top + high - tall, step + 0.5, tall);
    });
    // Area, relative to the largest of the object, as a line.
    const largest = Math.max(1, ...row.area.map((value) => value ?? 0));
    context.globalAlpha = 0.9;
    context.strokeStyle = "#101316";
    context.lineWidth = 1.5;
    context.beginPath();
    let pen = false;
    row.area.forEach((value, column) => {
      if (value === null) return (pen = false);
      const [left, y] = [(column + 0.5) * step, top + high - (value / largest) * (high - 3) - 1];
      if (pen) context.lineTo(left, y);
      else context.moveTo(left, y);
      pen = true;
    });
    context.stroke();
    context.globalAlpha = 1;
    for (const [from, to] of row.lost) this.drawLost(context, x(from), top, Math.max(2, x(to + 1) - x(from)), high);
    context.font = "600 11px system-ui, sans-serif";
    context.textBaseline = "middle";
    const text = `${row.id} ${known?.name ?? ""}`.trim();
    const wide = context.measureText(text).width;
    context.fillStyle = "rgba(16, 19, 22, 0.72)";
    context.fillRect(3, top + 3, wide + 8, high - 6);
    context.fillStyle = "#f2f4f6";
    context.fillText(text, 7, top + high / 2 + 0.5);
  }
}
