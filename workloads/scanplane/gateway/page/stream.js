// The connection: it comes back by itself, says who it is, and tells what it is told.

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 8000;
const SILENT_MS = 20000;
const PING_MS = 8000;

export class Stream extends EventTarget {
  constructor(topics) {
    super();
    this.topics = new Set(topics);
    this.token = sessionStorage.getItem("scanplane-token");
    this.pause = FIRST_PAUSE_MS;
    this.socket = null;
    setInterval(() => this.watch(), 2000);
  }

  connect() {
    this.tell("state", { state: "connecting" });
    const address = new URL("/v1/stream", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address, ["scanplane.v1"]);
    this.socket = socket;
    this.heard = performance.now();
    this.pinged = this.heard;
    socket.onmessage = (event) => {
      this.heard = performance.now();
      this.receive(JSON.parse(event.data));
    };
    socket.onclose = (event) => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.tell("state", { state: "lost", reason: event.reason });
      if (event.code === 4401) {
        this.forget();
        this.tell("login", { refused: true });
        return;
      }
      setTimeout(() => this.connect(), this.pause * (0.5 + Math.random() / 2));
      this.pause = Math.min(LONGEST_PAUSE_MS, this.pause * 2);
    };
  }

  receive(message) {
    if (message.type === "hello") {
      if (!message.authenticated) {
        if (this.token) this.send({ action: "auth", token: this.token });
        else this.tell("login", { refused: false });
        return;
      }
      this.pause = FIRST_PAUSE_MS;
      this.send({ action: "subscribe", topics: [...this.topics] });
      this.tell("state", { state: "live" });
    }
    this.tell("message", message);
  }

  login(token) {
    this.token = token;
    sessionStorage.setItem("scanplane-token", token);
    if (this.socket?.readyState === WebSocket.OPEN) this.send({ action: "auth", token });
    else this.connect();
  }

  forget() {
    this.token = null;
    sessionStorage.removeItem("scanplane-token");
  }

  subscribe(topic) {
    this.topics.add(topic);
    this.send({ action: "subscribe", topics: [topic] });
  }

  unsubscribe(topic) {
    if (this.topics.delete(topic)) this.send({ action: "unsubscribe", topics: [topic] });
  }

  // A connection that died without a word is found by a ping that nobody answers.
  watch() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const now = performance.now();
    if (now - this.heard > SILENT_MS) this.socket.close();
    else if (now - this.pinged > PING_MS) {
      this.pinged = now;
      this.send({ action: "ping" });
    }
  }

  headers() {
    return this.token ? { Authorization: `Bearer ${this.token}` } : {};
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
