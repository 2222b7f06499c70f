// The address holds what is looked at, so that it can be sent to somebody: #/bins?group=zone
import {useEffect, useState} from './lib.js';

export function read() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  return {view: path || 'bins', query: Object.fromEntries(new URLSearchParams(query))};
}

export function address(view, query = {}) {
  const chosen = Object.entries(query).filter(([, value]) => value !== '' && value != null);
  const text = new URLSearchParams(chosen).toString();
  return `#/${view}${text ? `?${text}` : ''}`;
}

// Change some of the choices; `keep` makes no entry in the browser's history.
export function choose(change, {keep = false, view = null} = {}) {
  const now = read();
  const next = address(view ?? now.view, view && view !== now.view ? change : {...now.query, ...change});
  if (keep) {
    history.replaceState(null, '', next);
    dispatchEvent(new HashChangeEvent('hashchange'));
  } else location.hash = next;
}

export function useRoute() {
  const [route, set] = useState(read());
  useEffect(() => {
    const changed = () => set(read());
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}
