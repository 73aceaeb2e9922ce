// Package mirror has a node keep copies of the repositories that say which releases
// there are, the vendor's and the provider's director, and serve them to the other
// nodes of the mesh.
//
// What it copies it verifies as every node does that updates itself (package
// tufrepo), with the same roots, so that it passes on nothing that the others would
// refuse; they verify it once more. A copy that is not true is of no use to anybody, and
// harms nobody.
//
// What is copied comes from where the document says, or from an operator as a bundle:
// that is all that a node without network needs. Of the vendor's releases the newest
// few are kept, and those that the director allows.
//
// The trees lie in one directory, as names of files: vendor/ and director/. The server
// has no list of them, knows no names but theirs, and listens in the mesh alone.
package mirror
