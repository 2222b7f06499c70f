// The Pool of each node, by name; a Pool without a NodePool has the nodes that have no Pool.
export function poolOf(data) {
  const node = (row, name) => row[data.at('nodes', name)];
  const pools = data.rows('pools').map((row) => [row[data.at('pools', 'name')], row[data.at('pools', 'nodePool')]]);
  const byNodePool = new Map(pools.filter(([, nodePool]) => nodePool).map(([name, nodePool]) => [nodePool, name]));
  const rest = pools.find(([, nodePool]) => !nodePool)?.[0] ?? '';
  return (row) => node(row, 'pool') || byNodePool.get(node(row, 'nodePool')) || rest;
}
