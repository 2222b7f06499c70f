// Every pod that waits, why, and what would help.
import {html} from './lib.js';
import * as format from './format.js';
import {choose} from './route.js';
import {Table} from './table.js';

export function Waiting({data, filter}) {
  const pod = (row, name) => row[data.at('pods', name)];
  const groups = new Map();
  for (const key of data.podsOn.get('') ?? []) {
    const row = data.tables.pods.get(key);
    const of = `${pod(row, 'namespace')}|${pod(row, 'owner')}|${pod(row, 'message')}`;
    const one = groups.get(of);
    if (one) {
      one.count += 1;
      one.since = Math.min(one.since, pod(row, 'created'));
    } else {
      groups.set(of, {
        namespace: pod(row, 'namespace'), owner: pod(row, 'owner'), name: pod(row, 'name'), count: 1,
        since: pod(row, 'created'), cpu: pod(row, 'cpu'), memory: pod(row, 'memory'),
        message: pod(row, 'message'), scheduler: pod(row, 'scheduler'), key,
      });
    }
  }
  // A task that has no pod yet waits too: its BatchJob or LongService says so.
  for (const [table, kind] of [['jobs', 'BatchJob'], ['services', 'LongService']]) {
    for (const row of data.rows(table)) {
      const value = (name) => row[data.at(table, name)];
      const owner = `${kind} ${value('name')}`;
      const told = [...groups.values()].some((one) => one.owner === owner && one.namespace === value('namespace'));
      if (value('waiting') > 0 && !told) {
        groups.set(`${kind}/${value('namespace')}/${value('name')}`, {
          namespace: value('namespace'), owner, count: value('waiting'), since: 0,
          message: value('message'), scheduler: 'bayplan', name: value('name'), kind,
        });
      }
    }
  }
  const columns = [
    {title: 'Workload', value: (one) => one.owner},
    {title: 'Namespace', value: (one) => one.namespace},
    {title: 'Waiting', right: true, value: (one) => one.count},
    {title: 'Since', right: true, value: (one) => one.since ? data.now - one.since : null, show: (one) => format.ago(one.since, data.now)},
    {title: 'CPU', right: true, value: (one) => one.cpu, show: (one) => format.cpu(one.cpu)},
    {title: 'Memory', right: true, value: (one) => one.memory, show: (one) => format.memory(one.memory)},
    {title: 'Why', wide: true, value: (one) => one.message || (one.scheduler === 'bayplan' ? 'It is being placed.' : `It waits for ${one.scheduler}.`)},
  ];
  const open = (one) => choose(one.kind ? {object: `${one.kind}/${one.namespace}/${one.name}`} : {pod: one.key, node: ''});
  return html`<h2>Waiting</h2>
    <p class="dim">The sentence counts each node once, for the first reason that keeps the pod off it. Open a row to try what would help.</p>
    <${Table} name="Waiting" columns=${columns} rows=${[...groups.values()]} filter=${filter} sort=${2} down open=${open} empty="Nothing waits." />`;
}
