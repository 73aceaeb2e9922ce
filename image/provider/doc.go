// Package provider is the provider instance: the directory in which operators
// write what their provider is, and keep its keys.
//
//	provider.json  provider.ENV.json     who the provider is
//	common.json    common.ENV.json       what all nodes have
//	services/NAME.json  NAME.ENV.json    what nodes with a service have
//	tags/NAME.json      NAME.ENV.json    what nodes with a tag have
//	nodes/NAME.json                      one node
//	users/NAME.json                      one operator: role, certificate, age recipient
//	files/…                              certificates, texts: nothing secret
//	secrets/NAME.age                     one secret, encrypted to operators
//	zones.json                           serial numbers of zones; leap keeps it
//	compiled/NODE.json                   node documents; leap writes them
//	history/NODE.jsonl                   what was deployed; leap writes it
//
// JSON files are HuJSON: comments and a comma after the last element are
// allowed. Whatever is wrong in them is a [node.Error] that names file, line and
// column.
//
// # How a node comes about
//
// As in leap_cli (leap-protocols.md 9.3): common, then each service in the order
// listed, then each tag, then the node, each followed by its variant for the
// node's environment, and what comes later wins. Objects merge, arrays are
// replaced, a scalar is added to an array, null takes a value away; "+key" adds
// to an array, "-key" removes from it, "!key" replaces whatever was there. Tags
// may name other tags, which come before them. There are no expressions: what
// leap_cli computed with Ruby, image/compile knows.
//
// The sections of services have the very types that the services read, so that
// a member that a service does not know is found here.
//
// # Secrets
//
// They are encrypted to the operators with the role "deploy". Operators who may
// only look are no recipients: among the secrets is the key that makes
// operators. Names of secrets are flat; those of an environment begin with its
// name and a dot.
//
// What is written is written whole: temporary file, fsync, rename.
package provider
