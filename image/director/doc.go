// Package director keeps the provider's director: the repository of The Update
// Framework, in the provider instance, that says which of the vendor's releases the
// provider's nodes may run, which of them, and from when on.
//
//	updates/vendor.json     where the vendor's repository is
//	updates/director/       the repository (package tufrepo); public/ is what nodes see
//	updates/keys/NAME.pub   the key of an admin
//	updates/keys/NAME.age   the same, encrypted to him alone
//	secrets/updates.online.age  the key of snapshot and timestamp, encrypted to all
//	files/updates/vendor.json, files/updates/director.json  roots, for node documents
//
// Admins are operators with the role deploy. As many of them as was chosen at the
// beginning, k of n, have to sign before anything changes; with one it is done at
// once. The repository names no bytes by itself: nodes take what the vendor lists with
// the same hash (docs/adr/0007). So it can hold a release back, and ship none.
package director
