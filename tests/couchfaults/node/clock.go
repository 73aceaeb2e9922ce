//go:build !labclock

package main

import "time"

// setClock makes the clock of this process wrong by so much. The clock of a
// program that was built as usual is always right.
func setClock(time.Duration) {}
