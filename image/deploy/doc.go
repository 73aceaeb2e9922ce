// Package deploy pushes node documents to the agents of nodes, and asks agents
// how their nodes are. It is masterless: whoever has an operator's key and the
// instance can do it, from anywhere.
//
// A [Client] speaks the API of one agent (package node) over TLS with
// certificates on both sides: the agent's is checked against the provider's
// authority of nodes and the node's name, whatever its address is.
//
// [Push] gives several nodes their documents at once. For each it asks for the
// status first: a node that is what its document says is left alone; the others
// get the document signed, with the next generation number, and those secrets
// that they do not hold. The verdict is the node's: it goes back by itself from
// what does not work. If the connection breaks on the way, because the document
// changes the network, it is looked for again until the verdict is known.
//
// Nodes that must not change all at the same time, those of the database, change
// one after the other once they have worked, and none after one that went back.
package deploy
