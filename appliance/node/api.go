package node

import "time"

// The agent's API: JSON over HTTPS with certificates on both sides. An
// operator's certificate is signed by the operators' authority and has its role
// as organizational unit.
const (
	RoleDeploy = "deploy"    // May do everything.
	RoleRead   = "read-only" // May look.
)

// Paths of the API.
const (
	PathStatus  = "/v1/status"  // GET: [Status].
	PathApply   = "/v1/apply"   // POST [Bundle]: lines of [Event]; the last one has a verdict.
	PathLogs    = "/v1/logs"    // GET ?service=&follow=1&lines=: lines of [LogLine].
	PathMetrics = "/v1/metrics" // GET: of the node, in Prometheus' format, and of its services how they run; their own are not here.
	PathTime    = "/v1/time"    // GET: [Clock]. POST: asks the time servers and sets the clock at once, then [Clock].
	PathReboot  = "/v1/reboot"  // POST: answers, then restarts the machine.
	PathChecks  = "/v1/checks"  // GET: a list of [Check].
	PathTask    = "/v1/task/"   // POST SERVICE/TASK: what the service makes of it, JSON both ways.
	// POST SERVICE: stops the service and starts it, also one that has ended for
	// good. What was known of its earlier ends is forgotten.
	PathRestart = "/v1/restart/"
	// PUT ?version=&sha256=&again=: a release, whose length the request names. It
	// is on the disk, to be tried at the next start, when the answer comes: [Armed].
	// With again=1 also one that was found bad before. It may be packed, if the
	// request says so (Content-Encoding: [ReleasePacked]) and names its size, size=.
	PathRelease = "/v1/release"
	// POST: looks for updates now. With again=1 an operator has looked at what went
	// wrong: nodes that wait for his word go on, this one with a release that it has
	// found bad.
	PathUpdate = "/v1/update"
	PathBack   = "/v1/back" // POST: gives the release up that runs; answers, then restarts the machine.
)

// How releases are packed that come packed: with zstd, and a window that a node can
// bear, bytes.
const (
	ReleasePacked = "zstd"
	ReleaseWindow = 8 << 20
)

// Status is how a node is.
type Status struct {
	Provider   string     `json:"provider"`
	Node       string     `json:"node"`
	Release    string     `json:"release"`
	Image      Image      `json:"image"`
	Booted     time.Time  `json:"booted"`
	Now        time.Time  `json:"now"`         // By the node's clock.
	ClockKnown bool       `json:"clock_known"` // See [Clock].
	ClockTold  bool       `json:"clock_told"`  // The same.
	Current    Generation `json:"current,omitzero"`
	Good       uint64     `json:"good"`              // Newest generation that was good. 0: none.
	Bad        Generation `json:"bad,omitzero"`      // Newest that was taken back, with the reason, if nothing good came after it.
	Highest    uint64     `json:"highest"`           // Greatest number ever given to it: the next one is greater.
	Secrets    []string   `json:"secrets,omitempty"` // Digests of the secrets that it holds.
	MeshKey    string     `json:"mesh_key"`          // Public key that the node made for the mesh, base64.
	// Certificates are when the certificates end that the node was given, by
	// their names: "agent", "operators" (their authority), SERVICE/FILE.
	Certificates map[string]time.Time `json:"certificates,omitempty"`

	Mirror   []Copy                   `json:"mirror,omitempty"` // What it has copied of repositories of releases.
	Update   *Update                  `json:"update,omitempty"` // None: it takes only what operators push.
	Disk     Disk                     `json:"disk"`
	Memory   Memory                   `json:"memory"`
	Trouble  []string                 `json:"trouble,omitempty"` // What needs an operator.
	Services map[string]ServiceStatus `json:"services,omitempty"`
}

// A Clock is what a node knows of the time.
type Clock struct {
	Now     time.Time `json:"now"`
	Known   bool      `json:"known"`             // By time servers, or, where there are none, by the machine's own clock.
	Told    bool      `json:"told"`              // By time servers, since the start.
	Servers []string  `json:"servers,omitempty"` // Who is asked.
	Offset  Duration  `json:"offset"`            // How wrong the clock was when they agreed last: what was added.
	Asked   time.Time `json:"asked,omitzero"`    // When that was.
	Error   string    `json:"error,omitempty"`   // Why they could not tell the time when they were asked last.
}

// An Image is how the release that runs came to run, and what others there are.
type Image struct {
	// Loader is the boot loader that has chosen it. Empty: there was none, so that
	// nothing is on trial, and no other release can be given to this machine.
	Loader string `json:"loader,omitempty"`
	// State is [StateTrial], [StateGood], or [StateBad] of one that was given up
	// and runs, since there is no other. Empty without a boot loader.
	State string       `json:"state,omitempty"`
	Left  int          `json:"left,omitempty"` // Starts that are left to one on trial.
	Kept  []Release    `json:"kept,omitempty"` // All on the disk, newest first.
	Bad   []BadRelease `json:"bad,omitempty"`  // Those that failed, newest first. They are not tried again.
	// Unpacks is [ReleasePacked] if releases may come packed.
	Unpacks string `json:"unpacks,omitempty"`
}

// An Update is how it stands with updates that a node comes to by itself.
type Update struct {
	State   string    `json:"state"`             // [UpdateNothing] and so on.
	Release string    `json:"release,omitempty"` // Which it is about.
	Reason  string    `json:"reason,omitempty"`  // Why it is so, for people.
	Until   time.Time `json:"until,omitzero"`    // What it waits for comes then.
	Done    int64     `json:"done,omitempty"`    // Bytes of the download that are there.
	Size    int64     `json:"size,omitempty"`    // Of all.
	Checked time.Time `json:"checked,omitzero"`  // When both repositories were seen last, since the node's start.
	Next    time.Time `json:"next,omitzero"`     // When it looks again.
}

// States of an [Update].
const (
	UpdateOff        = "off"         // The document says nothing of updates.
	UpdateNothing    = "up-to-date"  // There is no newer release.
	UpdateUnvouched  = "not-vouched" // The provider allows what the vendor does not vouch for.
	UpdateDisallowed = "not-allowed" // The vendor has released what the provider does not allow.
	UpdateHeld       = "held"        // The vendor's plan holds it back.
	UpdateExpired    = "expired"     // What the repositories say is out of date.
	UpdateFailed     = "failed"      // It could not be found out, downloaded or written.
	UpdateBad        = "bad"         // The node has tried it and gone back.
	UpdateDue        = "not-due"     // This node's wave comes later.
	UpdateWindow     = "window"      // The node may restart later.
	UpdateTurn       = "turn"        // Another node restarts, or a database node is down.
	UpdateStopped    = "stopped"     // Another node went back, or did not come back.
	UpdateBusy       = "busy"        // Something else is on trial.
	UpdateDownload   = "downloading"
	UpdateArming     = "arming"
	UpdateArmed      = "armed" // The machine restarts.
	UpdateTrial      = "trial"
	UpdateBack       = "back" // The node went back, and cannot tell the others.
)

// A Release is one on the disk.
type Release struct {
	Version string `json:"version"`
	State   string `json:"state"` // [StateTrial]: new or being tried; [StateGood] or [StateBad].
}

// A BadRelease is one that was tried and given up.
type BadRelease struct {
	Version string    `json:"version"`
	Reason  string    `json:"reason"`
	Since   time.Time `json:"since"` // By the node's clock.
}

// Armed is that a release will be tried.
type Armed struct {
	Version string   `json:"version"`
	Within  Duration `json:"within"` // How long it may take, from its start, to be found good.
}

// A Generation is one document that a node was given.
type Generation struct {
	Number uint64 `json:"number"`
	Digest string `json:"digest"`           // [Document.Digest].
	State  string `json:"state"`            // [StateTrial], [StateGood] or [StateBad].
	Reason string `json:"reason,omitempty"` // Why it is bad; of a good one that is applied, why no newer one is.
}

// States of a generation.
const (
	StateTrial = "trial"
	StateGood  = "good"
	StateBad   = "bad"
)

// ServiceStatus is how a service is.
type ServiceStatus struct {
	Running  bool      `json:"running"`
	Healthy  bool      `json:"healthy"`
	PID      int       `json:"pid,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Restarts int       `json:"restarts"`
	Error    string    `json:"error,omitempty"`
}

// A Check is what a node found out when it looked at itself.
type Check struct {
	Name  string `json:"name"`           // Of the check: "mesh".
	State string `json:"state"`          // [CheckOK], [CheckWarn] or [CheckFail].
	Text  string `json:"text,omitempty"` // What was found, for people.
}

// States of a check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn" // It works, and wants an operator.
	CheckFail = "fail"
)

// Disk is the writable partition, in bytes.
type Disk struct {
	Size int64 `json:"size"`
	Free int64 `json:"free"`
}

// Room is how much of it may be filled by what can wait, as releases can, in bytes: a
// twentieth stays free for what services and the agent have to write.
func (d Disk) Room() int64 { return d.Free - d.Size/20 }

// Memory is the machine's, in bytes.
type Memory struct {
	Size      int64 `json:"size"`
	Available int64 `json:"available"`
}

// An Event is a step of applying a document, or, with a verdict, its end.
type Event struct {
	Text string `json:"text"`
	// Contact says that the node's place in the network has changed, and that it
	// waits for a request over a new connection: without one it goes back.
	Contact bool        `json:"contact,omitempty"`
	Error   string      `json:"error,omitempty"` // It could not even go back: an operator must look.
	Verdict *Generation `json:"verdict,omitempty"`
}

// A LogLine is one line that a service wrote.
type LogLine struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Text    string    `json:"text"`
}
