package tufrepo

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Change is one difference between what is public and what is to be signed.
// Whatever is signed shows up as an item, what this program does not know too.
type Change struct {
	Item string `json:"item"`             // "target client/linux-amd64/1.2.0/leapc", "role root", "expires".
	Old  string `json:"before,omitempty"` // Empty: it was not there.
	New  string `json:"after,omitempty"`  // Empty: it is there no longer.
}

// changes lists what differs; before may be nil.
func changes(before, after *signed, names map[string]string) ([]Change, error) {
	old := map[string]string{}
	if before != nil {
		var err error
		if old, err = items(before, names); err != nil {
			return nil, err
		}
	}
	now, err := items(after, names)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(old)
	maps.Copy(all, now)
	list := []Change{}
	for _, item := range slices.Sorted(maps.Keys(all)) {
		if old[item] != now[item] {
			list = append(list, Change{item, old[item], now[item]})
		}
	}
	return list, nil
}

// items takes the signed part apart. Two that are signed differently have
// different items: TestItemsComplete.
func items(s *signed, names map[string]string) (map[string]string, error) {
	var whole any = s.targets
	if s.root != nil {
		whole = s.root
	}
	text, err := json.Marshal(whole)
	if err != nil {
		return nil, err
	}
	var m struct {
		Signed map[string]any `json:"signed"`
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for field, v := range m.Signed {
		switch o, isObject := v.(map[string]any); {
		case isObject && field == "targets" && s.targets != nil:
			for path, t := range o {
				out["target "+plain(path)] = targetItem(t)
			}
		case isObject && field == "keys" && s.root != nil:
			keyItems(out, "", o, names)
		case isObject && field == "roles" && s.root != nil:
			for name, r := range o {
				out["role "+plain(name)] = roleItem(r, names)
			}
		case isObject && field == "delegations" && s.targets != nil:
			delegationItems(out, o, names)
		default:
			out[plain(field)] = compact(v)
		}
	}
	return out, nil
}

func keyItems(out map[string]string, what string, keys map[string]any, names map[string]string) {
	for id, k := range keys {
		// Two keys may share the first digits of an ID: all of it is shown.
		out[what+"key "+plain(id)] = strings.TrimSpace(plain(names[id]) + " " + compact(k))
	}
}

func delegationItems(out map[string]string, d map[string]any, names map[string]string) {
	var order []string
	for field, v := range d {
		keys, isObject := v.(map[string]any)
		list, isList := v.([]any)
		switch {
		case field == "keys" && isObject:
			keyItems(out, "delegated ", keys, names)
		case field == "roles" && isList:
			for i, r := range list {
				o, _ := r.(map[string]any)
				name, _ := o["name"].(string)
				order = append(order, plain(name))
				item := "delegated role " + plain(name)
				if _, twice := out[item]; twice {
					item += " at " + strconv.Itoa(i)
				}
				out[item] = roleItem(r, names)
			}
		default:
			out["delegations field "+plain(field)] = compact(v)
		}
	}
	out["delegations in this order"] = strings.Join(order, ", ")
}

// targetItem shows length and hash first, then all else.
func targetItem(v any) string {
	o, ok := v.(map[string]any)
	length, isNumber := o["length"].(json.Number)
	hashes, _ := o["hashes"].(map[string]any)
	sum, isText := hashes["sha256"].(string)
	if !ok || !isNumber || !isText {
		return compact(v)
	}
	rest := maps.Clone(o)
	delete(rest, "length")
	more := maps.Clone(hashes)
	delete(more, "sha256")
	if rest["hashes"] = more; len(more) == 0 {
		delete(rest, "hashes")
	}
	return fmt.Sprintf("%s bytes, SHA-256 %s%s", length, plain(sum), others(rest))
}

// roleItem shows threshold and keys first, then all else.
func roleItem(v any, names map[string]string) string {
	o, ok := v.(map[string]any)
	threshold, isNumber := o["threshold"].(json.Number)
	ids, isList := o["keyids"].([]any)
	if !ok || !isNumber || !isList {
		return compact(v)
	}
	var list []string
	for _, id := range ids {
		text, isText := id.(string)
		if !isText {
			return compact(v)
		}
		list = append(list, strings.TrimSpace(plain(names[text])+" "+plain(text)))
	}
	rest := maps.Clone(o)
	delete(rest, "threshold")
	delete(rest, "keyids")
	return fmt.Sprintf("%s of %d: %s%s", threshold, len(ids), strings.Join(list, ", "), others(rest))
}

func others(rest map[string]any) string {
	if len(rest) == 0 {
		return ""
	}
	return ", " + compact(rest)
}

// compact is v as JSON in ASCII: nothing in it can move a terminal's cursor.
func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // It came from JSON.
	}
	quoted := strconv.QuoteToASCII(string(text))
	return strings.ReplaceAll(strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`), `\\`, `\`)
}

// plain is s itself if it is harmless to print and to read, and else quoted.
func plain(s string) string {
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '"' || r == ',' {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}
