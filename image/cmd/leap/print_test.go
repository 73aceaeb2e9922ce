package main

import "testing"

// TestHarmless: of what firmware writes the words stay.
func TestHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"\x1b[2J\x1b[01;01H\x1b[=3hBdsDxe: loading\r\n\tBoot0001": "BdsDxe: loading\n\tBoot0001",
		"\x1b[1;31mé\x1b[0m\x07\x1b]0;name\x7f":                   "é]0;name",
		"[    1.2] leap: up\n":                                    "[    1.2] leap: up\n",
	} {
		if got := string(harmless([]byte(text))); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}
