// What the operator did and why, the newest first; the API server keeps Events for an hour.
import {html} from './lib.js';
import * as format from './format.js';
import {choose} from './route.js';
import {Table} from './table.js';

const OPENED = new Set(['BatchJob', 'LongService', 'Pool', 'Node', 'Pod', 'NodeClaim']);

export function Decisions({data, filter}) {
  const value = (name) => (row) => row[data.at('decisions', name)];
  const what = (row) => `${value('kind')(row)} ${[value('namespace')(row), value('name')(row)].filter(Boolean).join('/')}`;
  const columns = [
    {title: 'Time', value: value('time'), show: (row) => format.moment(value('time')(row))},
    {title: 'Type', value: value('type'), show: (row) => html`<span class=${value('type')(row) === 'Warning' ? 'bad' : ''}>${value('type')(row)}</span>`},
    {title: 'Reason', value: value('reason')},
    {title: 'About', value: what},
    {title: 'Times', right: true, value: value('count')},
    {title: 'What was decided', wide: true, value: value('note')},
  ];
  const open = (row) => OPENED.has(value('kind')(row)) && choose({object: [value('kind')(row), value('namespace')(row), value('name')(row)].join('/')});
  return html`<h2>Decisions</h2>
    <${Table} name="Decisions" columns=${columns} rows=${data.rows('decisions')} filter=${filter} sort=${0} down open=${open}
      empty="The operator has said nothing in the last hour." />`;
}
