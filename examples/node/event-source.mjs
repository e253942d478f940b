// As much of a browser's EventSource as following a job takes, over fetch: it comes again where the
// line breaks, with the id of the last event that it has seen, and stops where it is refused.
export class EventSource extends EventTarget {
  #stop = new AbortController();
  #last = "";
  #retry = 3000;
  readyState = 0;

  constructor(url) {
    super();
    this.#follow(url);
  }

  close() {
    this.readyState = 2;
    this.#stop.abort();
  }

  async #follow(url) {
    const { signal } = this.#stop;
    while (this.readyState !== 2) {
      try {
        const headers = { Accept: "text/event-stream", ...(this.#last && { "Last-Event-ID": this.#last }) };
        const answer = await fetch(url, { headers, signal });
        if (answer.ok) await this.#read(answer.body);
        else return this.#refused();
      } catch {
        // The line broke, or we closed it.
      }
      if (this.readyState === 2) return; // whoever closed it hears nothing more
      this.dispatchEvent(new Event("error"));
      await new Promise((again) => setTimeout(again, this.#retry));
    }
  }

  #refused() {
    this.close();
    this.dispatchEvent(new Event("error"));
  }

  async #read(body) {
    let kept = "";
    for await (const piece of body.pipeThrough(new TextDecoderStream())) {
      const blocks = (kept + piece).split("\n\n");
      kept = blocks.pop();
      for (const block of blocks) this.#take(block.split("\n"));
    }
  }

  #take(lines) {
    const told = Object.fromEntries(lines.map((line) => line.split(/: ?(.*)/s)));
    if (told.retry) this.#retry = Number(told.retry);
    if (told.id) this.#last = told.id;
    if (told.data) this.dispatchEvent(new MessageEvent(told.event ?? "message", { data: told.data }));
  }
}
