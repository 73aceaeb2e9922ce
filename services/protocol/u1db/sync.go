package u1db

// Content types of the synchronisation, leap-protocols.md 7.4.
const (
	SyncPut         = "application/x-soledad-sync-put"      // Request: header and documents.
	SyncPutResponse = "application/x-soledad-sync-response" // Its answer.
	SyncGet         = "application/x-soledad-sync-get"      // Request: header alone.
	SyncGetResponse = "application/x-u1db-sync-response"    // Its answer: result and documents.
	PlainStream     = "application/x-u1db-sync-stream"      // Both of them at once, in one POST, and its answer.
)

// Headers of the document resource, leap-protocols.md 7.3.
const (
	HeaderRev       = "x-u1db-rev"
	HeaderConflicts = "x-u1db-has-conflicts"
)

// MaxEntry is the limit of one entry that the original allows, bytes.
const MaxEntry = 200 << 20

// A Document is one version of a document and where it stands in the log of
// the replica that sends it.
type Document struct {
	ID      string
	Rev     string // Of a Revision.
	Content string // One line of JSON, an object; "" is a deleted document.
	Gen     int    // Generation of the change, from 1.
	TransID string
}

// A Change is one entry of a transaction log.
type Change struct {
	DocID   string
	Gen     int
	TransID string
}

// SyncInfo is the answer to GET sync-from/<source>: where the target stands,
// and how far it knows the source.
type SyncInfo struct {
	TargetReplica    string `json:"target_replica_uid"`
	TargetGeneration int    `json:"target_replica_generation"`
	TargetTransID    string `json:"target_replica_transaction_id"`
	SourceReplica    string `json:"source_replica_uid"`
	SourceGeneration int    `json:"source_replica_generation"`
	SourceTransID    string `json:"source_transaction_id"`
}

// SyncHeader is the first element of every POST: what the source knows of the
// target.
type SyncHeader struct {
	LastKnownGeneration int    `json:"last_known_generation"`
	LastKnownTransID    string `json:"last_known_trans_id"`
	SyncID              string `json:"sync_id,omitempty"`      // Ties the POSTs of one exchange together.
	Ensure              bool   `json:"ensure"`                 // Create the database.
	NewestFirst         bool   `json:"newest_first,omitempty"` // Ours, client.md 4.4: of a sync-get alone.
}

// SyncResult is the first element of every answer to a POST.
type SyncResult struct {
	NewGeneration    int    `json:"new_generation"`
	NewTransactionID string `json:"new_transaction_id"`
	NumberOfChanges  int    `json:"number_of_changes"`     // Documents that follow; not sent in a put's answer.
	ReplicaUID       string `json:"replica_uid,omitempty"` // Only when the header asked to ensure.
}

// SyncDone is the body of PUT sync-from/<source>: how far the target may
// consider the source known.
type SyncDone struct {
	Generation    int    `json:"generation"`
	TransactionID string `json:"transaction_id"`
}

// DocResult is the answer to a PUT or DELETE of the document resource.
type DocResult struct {
	Rev string `json:"rev"`
}

// Greeting is the answer to GET /.
type Greeting struct {
	Blobs   bool     `json:"blobs"`
	Version string   `json:"version"`
	Ext     []string `json:"ext,omitempty"` // Additions of ours that are served: "keyring", "notify", "newest", "incoming".
}

// Notice is the answer to GET notify (client.md 4.4): the database is past the
// generation asked about, or its incoming queue has another length.
type Notice struct {
	Generation    int    `json:"generation"`
	TransactionID string `json:"transaction_id"`
	Incoming      int    `json:"incoming"`
}

// QueueEntry is one entry of the answer to GET incoming: a sealed message that
// waits for a device.
type QueueEntry struct {
	ID             string `json:"id"`
	Size           int64  `json:"size"`            // Of the padded envelope, bytes.
	ReceivedBucket string `json:"received_bucket"` // RFC 3339, rounded to the hour.
}
