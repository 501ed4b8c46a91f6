// Text as it is, however long: it comes in slices and lies in blocks that the browser draws only while
// they are in sight.

const RAW_AT_FIRST = 20_000;
const RAW_MORE = 200_000;
const BLOCK_CHARS = 4_000;

class RawView {
  /**
   * @param source {board, what, key}
   * @param at place of the part; empty for all of it
   * @param n number of its characters, if it is known
   */
  constructor(source, at, n = null) {
    this.source = source;
    this.at = at;
    this.n = n;
    this.end = 0;
    this.element = make("div", "kit-raw");
    this.text = make("pre", "kit-raw-text");
    this.foot = make("div", "kit-raw-foot");
    this.element.append(this.text, this.foot);
    this.load(RAW_AT_FIRST);
  }

  async load(more) {
    const { board } = this.source;
    this.loading = true;
    this.drawFoot();
    const why = await fetchText(board, partOf(this.source, this.at), this.end, this.end + more, (text, end, n) => {
      this.end = end;
      this.n = n;
      this.append(text);
      this.drawFoot();
      return this.loading && (this.element.isConnected || end <= RAW_AT_FIRST);
    });
    this.loading = false;
    this.drawFoot(why);
  }

  append(text) {
    const shown = visible(text);
    let at = 0;
    while (at < shown.length) {
      let end = Math.min(at + BLOCK_CHARS, shown.length);
      const last = shown.charCodeAt(end - 1);
      if (last >= 0xd800 && last < 0xdc00 && end < shown.length) end += 1; // half a character
      this.text.append(make("span", "kit-raw-block", shown.slice(at, end)));
      at = end;
    }
  }

  drawFoot(why = "") {
    this.foot.replaceChildren();
    if (why) this.foot.append(make("span", "kit-soft", why));
    const left = (this.n ?? 0) - this.end;
    if (left <= 0) return;
    this.foot.append(make("span", "kit-soft", `${count(this.end)} of ${count(this.n)} characters`));
    if (this.loading) {
      this.foot.append(button("kit-text-button", "Stop", () => {
        this.loading = false;
      }));
      return;
    }
    if (left > RAW_MORE) this.foot.append(button("kit-text-button", `Show ${count(RAW_MORE)} more`, () => this.load(RAW_MORE)));
    this.foot.append(button("kit-text-button", left > RAW_MORE ? `Load all ${bytes(this.n)}` : "Show the rest", () => this.load(left)));
  }
}
