package main

import (
	"slices"
	"strings"
	"testing"

	"leap.example/tests/couch/suite"
)

func TestReport(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := report{said: map[string][]string{}, out: &out}
	err := r.read(strings.NewReader(`{"Action":"run","Package":"leap.example/tests/couch/a","Test":"TestA"}
{"Action":"output","Package":"leap.example/tests/couch/a","Test":"TestA","Output":"    a_test.go:1: ` + suite.Counted + `a: 7 checks\n"}
{"Action":"pass","Package":"leap.example/tests/couch/a","Test":"TestA"}
{"Action":"pass","Package":"leap.example/tests/couch/a"}
{"Action":"output","Package":"leap.example/tests/couch/b","Test":"TestB","Output":"it is wrong\n"}
{"Action":"fail","Package":"leap.example/tests/couch/b","Test":"TestB"}
{"Action":"fail","Package":"leap.example/tests/couch/b"}
{"Action":"skip","Package":"leap.example/tests/couch/b","Test":"TestC"}
`))
	if err != nil {
		t.Fatal(err)
	}
	if r.passed != 1 || !slices.Equal(r.counts, []string{"a: 7 checks"}) || !slices.Equal(r.failed, []string{"couch/b TestB", "couch/b"}) {
		t.Errorf("%+v", r)
	}
	if want := "FAILED: couch/b TestB\nit is wrong\nFAILED: couch/b \n"; out.String() != want {
		t.Errorf("told %q, want %q", out.String(), want)
	}
}
