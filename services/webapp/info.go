package webapp

import (
	"errors"

	"leap.example/services/protocol/bonafide"
	"leap.example/services/protocol/nick"
	"leap.example/services/protocol/problem"
)

// service tells what the caller's service level gives: GET /1/service.
func (s *site) service(r *request) (any, error) {
	if r.caller.user == nil {
		return bonafide.ServiceResponse{
			Name:        "anonymous",
			Description: "anonymous access to the VPN",
		}, nil
	}
	l := s.level(r.caller.user.ServiceLevel)
	return bonafide.ServiceResponse{
		Name:         l.Name,
		Description:  l.Description,
		EIPRateLimit: l.Bandwidth == "limited",
		Storage:      l.Storage,
		Services:     l.Services,
	}, nil
}

// messages lists the provider's notices to the caller: GET /1/messages. Those
// in another language than the one asked for come only when there is no other.
func (s *site) messages(r *request) (any, error) {
	all, err := s.st.Messages.ForUser(r.Context(), r.caller.user.ID)
	if err != nil {
		return nil, err
	}
	locale := r.URL.Query().Get("locale")
	if locale == "" {
		locale = "en"
	}
	match, rest := []bonafide.Message{}, []bonafide.Message{}
	for _, m := range all {
		reply := bonafide.Message{ID: m.ID, Locale: m.Locale, Text: m.Text}
		if m.Locale == locale {
			match = append(match, reply)
		} else if m.Locale == "en" {
			rest = append(rest, reply)
		}
	}
	if len(match) == 0 {
		return rest, nil
	}
	return match, nil
}

// identity shows who has an address: GET /1/identities/:address.
func (s *site) identity(r *request) (any, error) {
	addr, err := nick.ParseAddress(r.PathValue("address"))
	if err != nil {
		return nil, problem.NotExist.Errorf("No such address.")
	}
	if r.caller.monitor && !testLogin(addr.Local()) {
		return nil, problem.Permission
	}
	id, err := s.st.Identities.ByAddress(r.Context(), addr)
	if errors.Is(err, problem.NotExist) {
		return nil, problem.NotExist.Errorf("No such address.")
	}
	if err != nil {
		return nil, err
	}
	shown := *id
	shown.Rev = "" // The database's own.
	return shown, nil
}
