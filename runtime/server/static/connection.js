// Connection to the server: one WebSocket that comes back by itself.

const PAUSES = [300, 1000, 2000, 4000];

export class Connection extends EventTarget {
  #socket = null;
  #waiting = new Map();
  #next = 1;
  #failures = 0;

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/ws`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#failures = 0;
      this.#emit("open");
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = (event) => {
      for (const { reject } of this.#waiting.values()) reject(new Error("The connection to the server is lost."));
      this.#waiting.clear();
      this.#emit("close", event.reason);
      const pause = PAUSES[Math.min(this.#failures++, PAUSES.length - 1)];
      setTimeout(() => this.#retry(), pause);
    };
    this.#socket = socket;
  }

  // Send an action; the promise has its result.
  ask(type, fields = {}) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error("The server does not answer."));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#socket.send(JSON.stringify({ ...fields, type, id }));
    });
  }

  // Tell the server that a picture is on the screen, so that it sends the next.
  shown() {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send('{"type": "shown"}');
  }

  async #retry() {
    // A server that was started anew has another token: the login page is then the right answer.
    try {
      const answer = await fetch("/api/status");
      if (answer.status === 401) return location.reload();
    } catch {
      // Not there yet.
    }
    this.open();
  }

  #receive(data) {
    if (data instanceof ArrayBuffer) return this.#emit("picture", unpack(data));
    const message = JSON.parse(data);
    if (message.type === "status") return this.#emit("status", message);
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (!waiting) return;
    if (message.error) waiting.reject(new Error(message.error));
    else waiting.resolve(message.result);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// A picture is: length of the header (uint32), header (JSON), JPEG, runs.
function unpack(data) {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const begin = 4 + length;
  const jpeg = new Blob([new Uint8Array(data, begin, header.jpeg)], { type: "image/jpeg" });
  const [width, height] = header.picture;
  const labels = expand(data.slice(begin + header.jpeg, begin + header.jpeg + header.runs), width * height);
  return { ...header, jpeg, labels };
}

// Runs to one object id per pixel: each run is id * 2**24 + length.
export function expand(buffer, size) {
  const runs = new Uint32Array(buffer);
  const labels = new Uint8Array(size);
  let at = 0;
  for (const run of runs) {
    const length = run & 0xffffff;
    const id = run >>> 24;
    if (id) labels.fill(id, at, at + length);
    at += length;
  }
  return labels;
}

export function fromBase64(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at++) bytes[at] = letters.charCodeAt(at);
  return bytes.buffer;
}
