package vnet

import "net"

// ListenBroadcast is for clients of DHCP.
func (h *Host) ListenBroadcast(port uint16) (net.PacketConn, error) { return h.listenBroadcast(port) }
