// Package gateway wires the data plane: it turns a configuration into one running generation, and swaps
// generations.
//
// # Model
//
// A [Gateway] owns what is older than any configuration: memory and its budget, deadlines, the router, the
// edge, metrics, and, held by identity, pools, their schedulers and the lanes of each version. A generation is
// what one configuration and the state of its pools add up to: an immutable routing table. It is built whole
// beside the one in force, swapped in by one pointer, and the old one is retired: when the last request that
// holds it has gone, the lanes and pools that nobody else names are closed. A new generation is made when the
// configuration changes and when a pool's models do. A configuration that does not hold up changes nothing.
//
// # Concurrency
//
// [Gateway.Run] is one loop: reloads, pool changes and file changes take turns in it. The data path reads what
// it published and takes no lock of this package. Run starts every goroutine and returns after all have ended.
//
// # Ownership
//
// A generation holds one reference to each pool, lane and metric series that it names.
package gateway
