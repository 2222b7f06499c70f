// The Pool of each node, by name. A Pool without a NodePool or groups has the nodes of no Pool.
export function poolOf(data) {
  const node = (row, name) => row[data.at('nodes', name)];
  const pools = data.rows('pools').map((row) => ['name', 'nodePool', 'groups'].map((name) => row[data.at('pools', name)]));
  const byNodePool = new Map(pools.filter(([, nodePool]) => nodePool).map(([name, nodePool]) => [nodePool, name]));
  const rest = pools.find(([, nodePool, groups]) => !nodePool && !groups)?.[0] ?? '';
  return (row) => node(row, 'pool') || byNodePool.get(node(row, 'nodePool')) || rest;
}
