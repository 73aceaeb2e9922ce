package vpn

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"leap.example/client/durable"
	"leap.example/client/vpn/enroll"
	"leap.example/services/protocol/problem"
)

const (
	settingsFile = "vpn.json"
	leasesFile   = "vpn-leases.json"
	gatewaysFile = "vpn-gateways.json"
	certFile     = "vpn-cert.pem"
	fileVersion  = 1

	maxLeases = 8               // Kept; one of each gateway.
	spare     = 2 * time.Minute // Of a lease or certificate that is worth using.
	renewCert = 24 * time.Hour  // A certificate with less left is replaced.
	daily     = 24 * time.Hour  // How old the list of gateways may be.
	maxFile   = 1 << 20         // Bytes of a file; a larger one is damaged.
)

// settings are the file vpn.json.
type settings struct {
	Version     int              `json:"version"`
	Up          bool             `json:"up,omitempty"` // The user wants to be connected: also after a restart of the daemon.
	Autoconnect bool             `json:"autoconnect,omitempty"`
	Lockdown    bool             `json:"lockdown,omitempty"`
	LAN         bool             `json:"lan,omitempty"`
	Exclude     []uint32         `json:"exclude,omitempty"`
	Use         string           `json:"use,omitempty"`  // "": auto.
	Proxy       netip.AddrPort   `json:"proxy,omitzero"` // Of the last up. None: the helper.
	Account     bool             `json:"account,omitempty"`
	Classical   bool             `json:"classical,omitempty"`
	Invite      string           `json:"invite,omitempty"`
	Route       enroll.Kind      `json:"route,omitzero"` // That worked last.
	API         []netip.AddrPort `json:"api,omitempty"`  // Of the provider, as last resolved.
}

// Wanted reports whether the user of a home wants all that he sends to go by the VPN
// or nowhere, as was last stored there: he has said up and not down, or lockdown. It
// is for who has no daemon to ask. Invalid: the file is damaged, and nobody knows.
func Wanted(dir string) (bool, error) {
	var s settings
	err := load(dir, settingsFile, &s, &s.Version)
	if errors.Is(err, problem.NotExist) {
		return false, nil
	}
	return s.Up || s.Lockdown, err
}

// leases are the file vpn-leases.json, the one used last first.
type leases struct {
	Version int            `json:"version"`
	Domain  string         `json:"domain"` // Of the provider; those of another are of no use.
	Leases  []enroll.Grant `json:"leases"`
}

// gatewayFile is the file vpn-gateways.json.
type gatewayFile struct {
	Version int             `json:"version"`
	Domain  string          `json:"domain"` // Of the provider.
	Fetched time.Time       `json:"fetched"`
	List    json.RawMessage `json:"list"`
}

// load reads a file into v, which has a version. NotExist: there is none;
// Invalid: it is damaged, or of a newer program.
func load(dir, name string, v any, version *int) error {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return problem.NotExist.Errorf("there is no %s", name)
	}
	if err != nil {
		return err
	}
	if len(data) > maxFile || json.Unmarshal(data, v) != nil || *version != fileVersion {
		return problem.Invalid.Errorf("%s is damaged: remove it", filepath.Join(dir, name))
	}
	return nil
}

func save(dir, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return durable.Replace(filepath.Join(dir, name), data)
}

// leaseOf returns the lease of a gateway that is kept and still worth using;
// of any gateway for which fits is true.
func (v *VPN) leaseOf(fits func(host string) bool) (enroll.Grant, bool) {
	v.disk.Lock()
	defer v.disk.Unlock()
	var l leases
	if err := load(v.cfg.Dir, leasesFile, &l, &l.Version); err != nil || l.Domain != v.domain() {
		return enroll.Grant{}, false
	}
	for _, g := range l.Leases {
		if g.Lease.Validate() == nil && time.Now().Add(spare).Before(g.Lease.NotAfter) && fits(g.Gateway.Name) {
			return g, true
		}
	}
	return enroll.Grant{}, false
}

// keepLease stores g as the lease that was used last, in place of the
// gateway's older one. An empty lease only removes that.
func (v *VPN) keepLease(g enroll.Grant) error {
	v.disk.Lock()
	defer v.disk.Unlock()
	var l leases
	if err := load(v.cfg.Dir, leasesFile, &l, &l.Version); err != nil || l.Domain != v.domain() {
		l = leases{} // What cannot be read is not worth keeping.
	}
	l.Version, l.Domain = fileVersion, v.domain()
	l.Leases = slices.DeleteFunc(l.Leases, func(old enroll.Grant) bool {
		return old.Gateway.Name == g.Gateway.Name || time.Now().After(old.Lease.NotAfter)
	})
	if !g.Key.IsZero() {
		l.Leases = slices.Insert(l.Leases, 0, g)
	}
	l.Leases = l.Leases[:min(len(l.Leases), maxLeases)]
	return save(v.cfg.Dir, leasesFile, l)
}

// domain returns that of the provider.
func (v *VPN) domain() string {
	p, err := v.cfg.Provider()
	if err != nil {
		return ""
	}
	return p.Document().Domain
}
