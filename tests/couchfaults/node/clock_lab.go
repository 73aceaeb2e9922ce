//go:build labclock

package main

import (
	"time"
	_ "unsafe" // For go:linkname.
)

// labOffset is a variable of package time as package lab builds it: seconds
// that are added to the time of day. What time has passed is not touched.
//
//go:linkname labOffset time.labOffset
var labOffset int64

func setClock(d time.Duration) { labOffset = int64(d / time.Second) }
