// What the page knows: the tables that the server sent, with every change since.

const RETRY_MILLISECONDS = 2000;

// Rows are arrays in the order of the columns; `at('pods', 'node')` is the place of a value.
export class Data {
  constructor() {
    this.tables = {};
    this.columns = {};
    this.podsOn = new Map(); // node -> Set of keys of pods; '' are those that wait
    this._touched = new Set();
    this.about = {live: true, context: '', namespace: ''};
    this.complete = false;
    this.state = 'connecting'; // live, connecting, lost, locked, recorded
    this.serial = 0; // grows with each change
    this.loads = 0; // grows whenever everything was fetched
    this.moment = null; // of a recording
    this._listeners = new Set();
    this._source = null;
  }

  at(table, column) { return this.columns[table]?.indexOf(column) ?? -1; }

  rows(table) { return this.tables[table] ? [...this.tables[table].values()] : []; }

  // The nodes that have changed, or whose pods have, since this was last asked.
  takeTouched() {
    const found = this._touched;
    this._touched = new Set();
    return found;
  }

  get now() { return this.about.live ? Date.now() / 1000 : (this.moment ?? this.about.last); }

  subscribe(listener) {
    this._listeners.add(listener);
    return () => this._listeners.delete(listener);
  }

  _tell() {
    this.serial += 1;
    for (const listener of this._listeners) listener();
  }

  _is(state) {
    if (this.state === state) return;
    this.state = state;
    this._tell();
  }

  // Exchange the token of the link, if there is one, and follow the server.
  async start() {
    const token = new URLSearchParams(location.hash.slice(1)).get('token');
    if (token) {
      history.replaceState(null, '', location.pathname + '#/bins');
      await fetch('/api/session', {method: 'POST', body: token}).catch(() => null);
    }
    await this._follow();
  }

  async _follow() {
    clearTimeout(this._timer);
    this._source?.close();
    this._source = null;
    try {
      const about = await fetch('/api/about');
      if (about.status === 403) return this._again('locked');
      this.about = await about.json();
      await this.load();
    } catch {
      return this._again('lost');
    }
    if (!this.about.live) return this._is('recorded');
    this._is('live');
    this._listen();
  }

  // Fetch everything; `moment` chooses a state of a recording.
  async load(moment = null) {
    const answer = await fetch(moment === null ? '/api/snapshot' : `/api/snapshot?at=${moment}`);
    if (!answer.ok) throw new Error(`${answer.status}`);
    this.moment = moment;
    this._take(await answer.json());
  }

  _again(state) {
    this._is(state);
    this._timer = setTimeout(() => this._follow(), RETRY_MILLISECONDS);
  }

  _listen() {
    const source = new EventSource(`/api/events?since=${encodeURIComponent(this.version)}`);
    this._source = source;
    source.onopen = () => this._is('live');
    source.addEventListener('change', (event) => {
      this.change(JSON.parse(event.data));
    });
    source.addEventListener('reset', () => this._follow());
    source.onerror = () => {
      this._is('lost');
      // A browser gives up after an answer that is no stream, such as a refusal.
      source.close();
      this._timer = setTimeout(() => this._follow(), RETRY_MILLISECONDS);
    };
  }

  _take(whole) {
    this.version = whole.version;
    this.loads += 1;
    this.columns = whole.columns;
    this.complete = whole.complete;
    this.tables = {};
    for (const [name, rows] of Object.entries(whole.tables)) this.tables[name] = new Map(Object.entries(rows));
    this.podsOn = new Map();
    const node = this.at('pods', 'node');
    for (const [key, row] of this.tables.pods) this._put(row[node], key);
    this._tell();
  }

  change(delta) {
    this.version = delta.version;
    this.complete = delta.complete;
    const node = this.at('pods', 'node');
    for (const [name, {set, gone}] of Object.entries(delta.tables)) {
      const table = this.tables[name] ??= new Map();
      for (const key of gone) {
        if (name === 'pods') this._remove(key);
        if (name === 'nodes' || name === 'waste') this._touched.add(key);
        table.delete(key);
      }
      for (const [key, row] of Object.entries(set)) {
        if (name === 'pods') { this._remove(key); this._put(row[node], key); }
        if (name === 'nodes' || name === 'waste') this._touched.add(key);
        table.set(key, row);
      }
    }
    this._tell();
  }

  _put(node, key) {
    this._touched.add(node);
    const there = this.podsOn.get(node);
    if (there) there.add(key); else this.podsOn.set(node, new Set([key]));
  }

  _remove(key) {
    const row = this.tables.pods.get(key);
    if (!row) return;
    const node = row[this.at('pods', 'node')];
    this._touched.add(node);
    this.podsOn.get(node)?.delete(key);
  }
}

// An answer of the server to a question about one object; throws an Error in words.
export async function ask(what, kind, namespace, name) {
  const where = [kind, namespace || '-', name].map(encodeURIComponent).join('/');
  const answer = await fetch(`/api/${what}/${where}`).catch(() => null);
  if (!answer) throw new Error('The dashboard does not answer.');
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => ({}));
  throw new Error(told.why || `The dashboard answered ${answer.status}.`);
}
