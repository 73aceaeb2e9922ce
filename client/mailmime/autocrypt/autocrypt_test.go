package autocrypt_test

import (
	"bytes"
	"strings"
	"testing"

	"leap.example/client/mailmime"
	"leap.example/client/mailmime/autocrypt"
)

func TestRoundTrip(t *testing.T) {
	k := autocrypt.Key{Address: "alice@autocrypt.example", Mutual: true, Data: bytes.Repeat([]byte{1, 2, 3}, 100)}
	f, err := k.Field(autocrypt.Name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(f.Raw)) {
		if len(line) > 80 {
			t.Errorf("line of %d bytes", len(line))
		}
	}
	got, ok := autocrypt.Of(mailmime.Header{f}, "alice@autocrypt.example")
	if !ok || got.Address != k.Address || !got.Mutual || !bytes.Equal(got.Data, k.Data) {
		t.Errorf("got %+v, %v", got, ok)
	}
	if _, err := (autocrypt.Key{Address: "a@b.example", Data: make([]byte, 20000)}).Field(autocrypt.Name); err == nil {
		t.Error("a huge key was written into a field")
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		value string
		ok    bool
	}{
		{"addr=a@b.example; keydata=AAAA", true},
		{"addr=A@B.example; prefer-encrypt=mutual; keydata=AA\r\n AA", true},
		{"addr=a@b.example; prefer-encrypt=nopreference; keydata=AAAA", true},
		{"addr=a@b.example; _note=x=y; keydata=AAAA;", true},
		{"addr=a@b.example; critical=x; keydata=AAAA", false},
		{"addr=a@b.example; addr=c@b.example; keydata=AAAA", false},
		{"addr=a@b.example", false},
		{"keydata=AAAA", false},
		{"addr=nobody; keydata=AAAA", false},
		{"addr=a@b.example; keydata=A!AA", false},
		{"addr=a@b.example; keydata=", false},
		{"", false},
	} {
		if _, err := autocrypt.Parse(tt.value); (err == nil) != tt.ok {
			t.Errorf("%q: %v, want ok = %v", tt.value, err, tt.ok)
		}
	}
}

func TestOf(t *testing.T) {
	one := "Autocrypt: addr=a@b.example; keydata=AAAA\r\n"
	other := "Autocrypt: addr=c@b.example; keydata=AAAA\r\n"
	bad := "Autocrypt: nonsense\r\n"
	for _, tt := range []struct {
		name, head string
		ok         bool
	}{
		{"one", one, true},
		{"none", "", false},
		{"for another", other, false},
		{"two", one + other, false},
		{"twice", one + one, false},
		{"one and a broken one", bad + one, true},
	} {
		if _, ok := autocrypt.Of(mailmime.ParseHeader([]byte(tt.head)), "a@b.example"); ok != tt.ok {
			t.Errorf("%s: %v, want %v", tt.name, ok, tt.ok)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("addr=a@b.example; prefer-encrypt=mutual; keydata=AAAA")
	f.Add("addr=a@b.example; _x=1; keydata=AA AA;")
	f.Add("addr=;;keydata")
	f.Fuzz(func(t *testing.T, value string) {
		k, err := autocrypt.Parse(value)
		if err != nil {
			return
		}
		field, err := k.Field(autocrypt.Name)
		if err != nil {
			return
		}
		again, err := autocrypt.Parse(field.Value())
		if err != nil || again.Address != k.Address || again.Mutual != k.Mutual || !bytes.Equal(again.Data, k.Data) {
			t.Fatalf("%+v became %+v, %v", k, again, err)
		}
	})
}
