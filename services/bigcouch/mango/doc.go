// Package mango is CouchDB's declarative query: selectors, the definitions of
// indexes, and the choice of an index for a query. It reads and decides; rows
// and documents are the caller's.
//
// A [Selector] is normalised as CouchDB normalises it: field names are pushed
// down to the operators and negations down to the comparisons. It follows that
// a field which is missing matches no condition, not even $ne, $nin or $not,
// and nothing but {"$exists": false}.
//
// Values are compared by package order, across types: null < false < true <
// numbers < strings < arrays < objects; of the field _id, strings by bytes.
//
// A document is what encoding/json decodes, with or without UseNumber, with its
// _id and _rev members. Design documents are no answer to any query and have no
// row in any index: the caller leaves them out.
//
// # What differs from CouchDB
//
// $regex is RE2, so no pattern takes exponential time and none looks around or
// back. $text and text indexes do not exist. An object's members have no order.
package mango
