// A table that can be sorted and narrowed; long ones are shown in parts.
import {html, useMemo, useState} from './lib.js';

const PART = 200;

// columns: {title, value(row), show(row), right, wide}; `open(row)` makes rows buttons.
export function Table({name, columns, rows, filter = '', open, sort = 0, down = false, empty = 'Nothing here.'}) {
  const [order, setOrder] = useState({column: sort, down});
  const [parts, setParts] = useState(1);
  const found = useMemo(() => {
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = words.length ? rows.filter((row) => {
      const text = columns.map((one) => String(one.value(row) ?? '')).join(' ').toLowerCase();
      return words.every((word) => text.includes(word));
    }) : [...rows];
    const {value} = columns[order.column];
    const sign = order.down ? -1 : 1;
    return kept.sort((one, other) => sign * compare(value(one), value(other)));
  }, [rows, filter, order]);
  const shown = found.slice(0, parts * PART);
  const turn = (column) => setOrder({column, down: order.column === column ? !order.down : Boolean(columns[column].right)});
  return html`
    <div class="scroll" tabindex="0" role="region" aria-label=${name}>
      <table>
        <caption class="hidden">${name}</caption>
        <thead><tr>${columns.map((one, at) => html`
          <th scope="col" class=${one.right ? 'right' : ''}
              aria-sort=${order.column === at ? (order.down ? 'descending' : 'ascending') : 'none'}>
            <button class="plain" onClick=${() => turn(at)}>${one.title}${order.column === at ? (order.down ? ' ▾' : ' ▴') : ''}</button>
          </th>`)}</tr></thead>
        <tbody>${shown.map((row) => html`
          <tr class=${open ? 'opens' : ''} onClick=${open && (() => open(row))}>
            ${columns.map((one, at) => html`
              <td class=${`${one.right ? 'right' : ''} ${one.wide ? 'wide' : ''}`}>
                ${open && at === 0
                  ? html`<button class="plain link" onClick=${(event) => { event.stopPropagation(); open(row); }}>${(one.show ?? one.value)(row)}</button>`
                  : (one.show ?? one.value)(row)}
              </td>`)}
          </tr>`)}
        </tbody>
      </table>
      ${found.length === 0 && html`<p class="note">${filter && rows.length ? `No row of ${rows.length} has “${filter}”.` : empty}</p>`}
      ${found.length > shown.length && html`
        <p class="note">${found.length - shown.length} more.
          <button onClick=${() => setParts(parts + 5)}>Show more</button></p>`}
    </div>`;
}

function compare(one, other) {
  if (typeof one === 'number' && typeof other === 'number') return one - other;
  if (one == null || other == null) return (one == null) - (other == null);
  return String(one).localeCompare(String(other), 'en', {numeric: true});
}
