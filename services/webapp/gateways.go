package webapp

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"leap.example/services/protocol/problem"
	"leap.example/services/protocol/provider"
)

const (
	maxWish  = 64 // Bytes of the name of a location.
	minToken = 24 // Characters of an invite token.
)

// gateways are those of the VPN: what the configuration says of them, who may
// see which, and what they said of themselves last.
type gateways struct {
	list   provider.GatewayList
	tokens map[string][][sha256.Size]byte // By name of a private gateway.

	watch
}

// loadGateways reads what the gateways are, and makes the service files of it.
func (s *site) loadGateways() error {
	if s.cfg.GatewaysFile == "" {
		return nil
	}
	d, err := readDocument(s.cfg.GatewaysFile, jsonType)
	if err != nil {
		return err
	}
	g := &gateways{tokens: make(map[string][][sha256.Size]byte)}
	if g.list, err = provider.ParseGateways(d.body); err != nil {
		return fmt.Errorf("%s: %w", s.cfg.GatewaysFile, err)
	}
	for name, file := range s.cfg.GatewayTokenFiles {
		if g.tokens[name], err = readTokens(file); err != nil {
			return err
		}
	}
	for _, one := range g.list.Gateways {
		if one.Private && len(g.tokens[one.Name]) == 0 {
			return fmt.Errorf("gateway_token_files: the private gateway %s has no tokens", one.Name)
		}
	}
	if g.watch, err = newWatch(s.caDoc.body); err != nil {
		return fmt.Errorf("%s: %w", s.cfg.CAFile, err)
	}
	s.gateways = g
	auth := ""
	if s.provider.Service.AllowAnonymous {
		auth = "anon"
	}
	if s.serviceDocs[eipService], err = jsonDocument(g.list.EIP(), d.modified); err != nil {
		return err
	}
	s.eip3Doc, err = jsonDocument(g.list.EIP3(auth), d.modified)
	return err
}

// readTokens reads a file of invite tokens. Only digests of them are kept, of
// one length, so that comparing takes the same time for all.
func readTokens(file string) (list [][sha256.Size]byte, err error) {
	text, err := readSecret(file, minToken)
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(line) < minToken {
			return nil, fmt.Errorf("%s: a token needs at least %d characters", file, minToken)
		}
		list = append(list, sha256.Sum256(line))
	}
	return list, nil
}

// sees reports whether a token shows a private gateway.
func (g *gateways) sees(token, name string) bool {
	sum, ok := sha256.Sum256([]byte(token)), 0
	for _, t := range g.tokens[name] {
		ok |= subtle.ConstantTimeCompare(sum[:], t[:])
	}
	return ok == 1
}

// listGateways answers with the gateways that the caller may see, the best one
// for the caller's wish first. Nothing but the wish decides: not the address
// that asks. The answer is not for caches between here and there, because of the
// private ones.
func (s *site) listGateways(w http.ResponseWriter, r *http.Request) {
	list, err := s.choose(&request{Request: r, header: w.Header()})
	if err != nil {
		w.Header().Set("Content-Type", problem.ContentType)
		w.WriteHeader(problem.KindOf(err).Status())
		_ = json.NewEncoder(w).Encode(problem.DocumentOf(err)) // A broken connection has nowhere to report to.
		return
	}
	writeJSON(w, http.StatusOK, list)
}

func (s *site) choose(r *request) (provider.GatewayList, error) {
	if s.gateways == nil {
		return provider.GatewayList{}, problem.NotExist.Errorf("this provider has no gateways")
	}
	if err := r.limit(s.limits.lookup, r.network()); err != nil {
		return provider.GatewayList{}, err
	}
	wish := provider.GatewayWish{Location: r.FormValue("location")}
	if len(wish.Location) > maxWish {
		return provider.GatewayList{}, problem.Invalid.Errorf("location: write the key of one, as the list has it")
	}
	// A plus sign that was not escaped arrives as a space.
	if tz := r.FormValue("tz"); tz != "" {
		hours, err := provider.ParseTimezone(strings.Replace(tz, " ", "+", 1))
		if err != nil {
			return provider.GatewayList{}, problem.Invalid.Errorf("tz: %w", err)
		}
		wish.Timezone = &hours
	}
	token := r.Header.Get(provider.GatewayTokenHeader)
	list := s.gateways.list.Only(func(g provider.Gateway) bool { return !g.Private || token != "" && s.gateways.sees(token, g.Name) })
	for k := range list.Gateways {
		s.gateways.tell(&list.Gateways[k])
	}
	rand.Shuffle(len(list.Gateways), func(i, k int) {
		list.Gateways[i], list.Gateways[k] = list.Gateways[k], list.Gateways[i]
	})
	list.Sort(wish)
	return list, nil
}
