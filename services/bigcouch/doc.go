// Package bigcouch is the provider's database: a server that speaks the HTTP
// API of CouchDB 3 over an engine of its own.
//
// The question it answers is that of every other service: what is stored under
// this id, what has changed since I last looked, and was my edit the one that
// counted? It stores what it is given; mail and documents of users reach it
// sealed by their clients.
//
// # Shape
//
//	bigcouch   this package: HTTP, accounts, who may do what
//	shard      the order of writes: one log for each shard, group commit
//	store      Pebble: key layout, revision trees, apply
//	spread     databases in several parts: hashes, sequences, merging
//	sealed     the encrypted file system below Pebble
//	replicate  the replication protocol, between two peers
//	mango      selectors, index definitions, the choice of an index
//	view       functions of design documents: JavaScript, bounded
//	order      JSON values as bytes in CouchDB's order
//
// A request is authenticated, finds its database in the catalogue, is checked
// against the database's security object, and then either reads a view of the
// store or proposes an entry to the log of the database's shard. A database
// lies in one of 8 shards, chosen by the hash of its name when it is created.
//
// One that is created with q above 1 has as many parts, in shards that follow
// each other. A part is a database of its shard; a document belongs to the one
// of its id's hash. A request for one document goes to its part. Others are taken
// apart into requests to this same handler, one for each part, which say in their
// context (to other nodes, in a header) which part they mean; lists come back in
// order and are merged. Design documents belong to the first part; before a write
// of one is acknowledged the others have copies, which are shown nowhere, and a
// query that needs them says which ones it means: a part with others is mended
// first. A write of several documents is one operation in each part, and when
// some do not answer the whole is 503.
//
// # What is promised
//
// A write is acknowledged when it is on disk: after an fsync, which writers
// that come together share. Of two writers that edit the same revision one
// gets 409, whatever the timing; conflicts, that is several leaves, come only
// from new_edits=false. A reader of a node by itself sees every write that was
// acknowledged before it asked. Of several nodes each reads its own copy, and
// shows what was written through itself; what was written through others it may
// not have yet: most often for milliseconds, for as long as it lasts on one that
// is cut off, or has come back and did not find its leader within ten seconds.
// With r=2 or X-Leap-Fresh a reader sees every write, or has 503; and that
// something is not there, or not allowed, is said only after having caught up.
// Feeds of changes are woken by the write, not by a clock.
//
// A client that lost the answer to a write repeats it under the same
// X-Leap-Op header, 16 to 64 printable characters that it made up for this
// write, through whatever node, and gets the first answer; it is kept for ten
// minutes, longer where little is written, bound to the account, the method and
// the path. A node that passes a write on names it itself, if the client has not.
//
// An update sequence names the incarnation of its database. A since of another
// incarnation, or from beyond the end, is answered from the beginning, so that
// a follower may see a change twice but never skips one.
//
// # Whom it trusts
//
// Accounts of _users and security objects are read from this node's copy of the
// catalogue. What was changed through another node is there usually within 100
// ms. A request that changes something is never allowed by a copy older than 10
// seconds: then the node catches up first, or answers 503. Requests that only
// read, and logins, go by what there is.
//
// It listens on the mesh, in plain HTTP that the mesh encrypts. Accounts are
// those of Config, whose passwords are in files, and documents of the database
// _users, whose passwords are kept as PBKDF2. A new database is closed to all
// but server administrators. Bodies, headers, and the time that a client may
// take for its next bytes are limited; log lines name no document and no
// database.
//
// Pages of other origins may use it from a browser if Config says so, and
// proxies that share a secret may say whom they have authenticated; both are
// off without a setting. Metrics are those of one server and name no database.
//
// # What of CouchDB is here
//
//	/  /_up  /_uuids  /_all_dbs  /_session
//	/_dbs_info  /_db_updates  /_active_tasks  /_membership
//	/_node/{_local,name}             _stats, _prometheus, _system; of ours _overview, _page, _digest,
//	                                 _cluster, _backup, _checkpoint
//	/db                              PUT GET HEAD POST DELETE
//	/db/id                           GET HEAD PUT DELETE COPY; rev, revs, revs_info, conflicts,
//	                                 deleted_conflicts, meta, local_seq, open_revs, latest,
//	                                 attachments, atts_since; in parts both ways
//	/db/id/attachment                GET HEAD PUT DELETE; Range for octet-streams
//	/db/_local/id                    GET PUT DELETE
//	/db/_bulk_docs /_bulk_get /_revs_diff /_missing_revs /_ensure_full_commit
//	/db/_all_docs /_design_docs /_local_docs    by keys and by ranges; below each: queries
//	/db/_changes                     normal, longpoll, continuous, eventsource;
//	                                 filter=_doc_ids, _selector, _design, _view, ddoc/name
//	/db/_design/d/_view/v            GET POST; below it: queries
//	/db/_design/d/_info
//	/db/_find /_index /_explain
//	/db/_security /_revs_limit /_purge /_purged_infos_limit
//	/db/_compact /_view_cleanup /_shards /_sync_shards
//
// Statuses and error bodies are CouchDB's. Deliberate differences: an edit of
// a document that is not there is a conflict, also with a rev; a malformed
// security object is 400, an unauthorised one 401; _all_docs of a range has
// the offset null, since counting would read every row before it; attachments
// of text types are stored as they came, not compressed, and what another
// server sends compressed is unpacked; sizes are those of the content;
// integers and 1e2 come back as they were written; n of a new database is
// checked and ignored, w too; compaction has nothing to do.
//
// # Design documents
//
// Maps, reduces, filters and validate_doc_update run; a document whose
// functions do not compile is refused. Shows, lists, updates, rewrites and
// libraries do not exist, but may be stored. What JavaScript can and cannot do
// is said in package view.
//
// Rows of views are derived: each node has those it was asked for, and brings
// them up to date when it is asked, so that a query sees every write that was
// acknowledged before it. Reductions are made for the query from the rows it
// reads. The rows belong to the text of the map, and go when no design document
// has it any more: when a design document is written here, when another view
// is first built, or by _view_cleanup.
//
// validate_doc_update decides on the node that takes the request, before the
// write is proposed. What the document was is certain: the log refuses an edit
// of another revision. What the design documents are is too: the entry says by
// which it was judged, and where they are others the write is judged again, ten
// times at most. Of the account and the security object that the function is shown
// that is not so: see below. A write whose revision is no leaf is a conflict,
// without being judged. A function that fails refuses.
//
// A document in parts is refused if an attachment is longer or shorter than
// announced, has another digest, or does not come. _purge counts in purge_seq
// what it has removed. _db_updates remembers what has happened since the node
// was first asked; whoever comes from before that hears of every database. A
// proxy cannot give roles that begin with "_": its token covers the name alone.
// _session goes on (next) only to a path of this server, and takes basic
// credentials in place of a body.
//
// # Replication
//
// _replicate and documents of _replicator copy databases of this node and of
// others, by the protocol of package replicate. A source or target is the name
// of a database here, a URL, or an object with url, headers and auth. What is
// here is reached with the rights of whoever asked: the user of the request, or
// user_ctx of the document, as far as his account, where there is one, still
// has them; a document without user_ctx has none. _scheduler/jobs and
// _scheduler/docs tell administrators what goes on. A job that fails is tried
// again, after pauses that grow to a quarter of an hour; of many continuous
// jobs some run, and they take turns. Those of _replicate end with the node,
// those of _replicator go on when it is back.
//
// Members of _replicator see neither passwords nor headers in the documents of
// others, cannot change them, and cannot query the database. Users who are not
// server administrators reach the internet, and of other addresses those of
// Config alone; CouchDB lets them reach all. Redirects are not followed, proxies
// not used, and servers are told name and password with each request, not by a
// cookie.
//
// # On the disk
//
// With key_files the store is sealed: every file is encrypted under the first
// key; package sealed says what that promises. A store that was made under
// another key, or in the clear, does not open, and a sealed one not without
// keys: an error that wraps daemon.ErrFatal says what to do. Files under the
// other keys are rewritten in the background after the start.
//
// # Damage
//
// Every block on disk has a checksum. At the first that does not match, Run
// ends with an error that wraps daemon.ErrFatal, and a file DAMAGED in the
// directory of the store keeps later runs from starting until an operator has
// restored it. Log and manifest are read at the start before Pebble reads them,
// since it takes a flipped bit there for the end of what was written. A store of
// another format is fatal too. With little space left on the disk writes are
// refused with 507, and reads go on.
package bigcouch
