// LongServices: instances, revisions, how far an update is, and why it fails.
import {html} from './lib.js';
import {choose} from './route.js';
import {Table} from './table.js';

export function Services({data, filter}) {
  const value = (name) => (row) => row[data.at('services', name)];
  const rollout = (row) => value('rollout')(row) ?? {};
  const columns = [
    {title: 'Service', value: value('name')},
    {title: 'Namespace', value: value('namespace')},
    {title: 'Status', value: value('status')},
    {title: 'Ready', right: true, value: (row) => value('ready')(row) / (value('wanted')(row) || 1),
      show: (row) => html`<${Meter} part=${value('ready')(row)} whole=${value('wanted')(row)} />`},
    {title: 'Updated', right: true, value: (row) => value('updated')(row) / (value('wanted')(row) || 1),
      show: (row) => html`<${Meter} part=${value('updated')(row)} whole=${value('wanted')(row)} />`},
    {title: 'Update', value: (row) => rollout(row).state, show: (row) => rollout(row).state === 'Done' ? 'done' : rollout(row).state},
    {title: 'What it says', wide: true, value: (row) => value('message')(row) || rollout(row).message || value('trouble')(row)},
  ];
  const open = (row) => choose({object: `LongService/${value('namespace')(row)}/${value('name')(row)}`});
  return html`<h2>Services</h2>
    <${Table} name="Services" columns=${columns} rows=${data.rows('services')} filter=${filter} open=${open}
      empty="There are no LongServices. Try: kubectl apply -f examples/" />`;
}

export const Meter = ({part, whole}) => html`<span class=${`meter ${part < whole ? 'short' : ''}`}>
  <span style=${{width: `${whole ? Math.min(100, 100 * part / whole) : 100}%`}}></span><b>${part} of ${whole}</b></span>`;
