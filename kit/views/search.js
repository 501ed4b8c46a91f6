// Looking for a text in a payload. The kernel looks through all of it; the page opens the way to a hit.

const SEARCH_PAUSE_MS = 200;
const MARKS = 2_000; // marked at once
const LEVELS = 100; // opened on the way to a hit: a thousand boxes in each other take the browser seconds

class Finder {
  /** @param tree the tree in which hits are shown; @param before called when a hit is to be shown */
  constructor(tree, before) {
    this.tree = tree;
    this.before = before;
    this.hits = [];
    this.index = -1;
    this.number = 0;
    this.element = make("div", "kit-search");
    this.field = make("input", "kit-search-field");
    this.field.type = "search";
    this.field.placeholder = "Find in keys and values";
    this.field.setAttribute("aria-label", "Find in keys and values");
    this.told = make("span", "kit-soft kit-search-count", "");
    this.told.setAttribute("aria-live", "polite");
    this.previous = button("kit-text-button", "Previous", () => this.step(-1));
    this.next = button("kit-text-button", "Next", () => this.step(1));
    this.element.append(this.field, this.told, this.previous, this.next);
    this.field.addEventListener("input", () => {
      clearTimeout(this.timer);
      say(this.told, "…");
      this.timer = setTimeout(() => this.look(), SEARCH_PAUSE_MS);
    });
    this.field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") this.step(event.shiftKey ? -1 : 1);
      else if (event.key === "Escape") this.close();
      else return;
      event.preventDefault();
    });
    this.element.hidden = true;
    this.draw();
    tree.onChange = () => this.mark();
  }

  open() {
    this.element.hidden = false;
    this.field.focus({ preventScroll: true });
    this.field.select();
  }

  close() {
    this.element.hidden = true;
    this.field.value = "";
    this.look();
  }

  async look() {
    const text = this.field.value;
    this.number += 1;
    const mine = this.number;
    this.clearHit();
    this.hits = [];
    this.index = -1;
    this.total = null;
    this.mark();
    if (!text) {
      this.draw();
      return;
    }
    say(this.told, "Looking…");
    const { board, what } = this.tree.source;
    const part = await ask(board, { t: "search", what, q: text });
    if (mine !== this.number || !part) return;
    this.hits = part.hits ?? [];
    this.total = part.n ?? 0;
    this.more = part.more;
    this.draw(part.s);
    if (this.hits.length) await this.step(1);
  }

  draw(why = "") {
    const some = this.hits.length > 0;
    this.previous.disabled = !some;
    this.next.disabled = !some;
    if (why) say(this.told, why);
    else if (!this.field.value) say(this.told, "");
    else if (!some) say(this.told, "Not found");
    else {
      const total = this.more ? `more than ${count(this.total)}` : count(this.total);
      say(this.told, `${count(this.index + 1)} of ${total}${this.total > this.hits.length ? `, the first ${count(this.hits.length)} can be shown` : ""}`);
    }
  }

  async step(by) {
    if (!this.hits.length) return;
    this.index = (this.index + by + this.hits.length) % this.hits.length;
    this.draw();
    const [at, , around] = this.hits[this.index];
    const mine = this.number;
    this.before();
    const row = at.length > LEVELS ? null : await this.tree.reveal(at);
    if (mine !== this.number || this.hits[this.index]?.[0] !== at) return;
    this.clearHit();
    if (!row) {
      say(this.told, `${this.told.textContent}, ${count(at.length)} levels down: too deep to show`);
      return;
    }
    row.classList.add("kit-current");
    this.row = row;
    if (around) {
      this.around = make("div", "kit-hit-around");
      this.around.append("…", visible(around[0]), make("mark", "kit-hit", visible(around[1])), visible(around[2]), "…");
      row.append(this.around);
    }
    row.scrollIntoView({ block: "nearest" });
    this.mark();
  }

  clearHit() {
    this.row?.classList.remove("kit-current");
    this.around?.remove();
    this.row = null;
    this.around = null;
  }

  /** Mark what is in sight: ranges over the text, nothing in it is changed. */
  mark() {
    if (!globalThis.CSS?.highlights || this.marking) return;
    this.marking = true;
    requestAnimationFrame(() => {
      this.marking = false;
      const needle = this.field.value.toLowerCase();
      if (!needle || !this.element.isConnected) CSS.highlights.delete("kit-found");
      else CSS.highlights.set("kit-found", new Highlight(...foundRanges(this.tree.element, needle)));
    });
  }
}

function foundRanges(root, needle) {
  const ranges = [];
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node && ranges.length < MARKS; node = walker.nextNode()) {
    const text = node.data.toLowerCase();
    if (text.length !== node.data.length || node.parentNode.closest("button.kit-text-button")) continue;
    for (let at = text.indexOf(needle); at >= 0 && ranges.length < MARKS; at = text.indexOf(needle, at + needle.length)) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + needle.length);
      ranges.push(range);
    }
  }
  return ranges;
}
