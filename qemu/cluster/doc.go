// Package cluster boots the nodes of a provider on a LAN of their own: what
// "leap local" and the tests of whole clusters have in common.
//
// Every node is a machine (package vm) with the kernel and the file system of
// one release, a disk that was flashed from its image, and a disk with its
// identity; or, as real machines are, one whose firmware starts what is on its disk.
// Either gets its document as any other node does, from whoever has the
// operator's keys. All are plugged into one switch (package vnet). This process
// is on it, too, as what stands around a provider: the gateway, a DHCP server, a
// name server in the place of the root, and a clock. [Cluster.Dial] is how
// others in this process get there.
//
//	db1 --+
//	db2 --+-- switch -- this process: gateway, DHCP, DNS, NTP, Dial
//	web --+
//
// [Of] says which machines an instance means, [Open] makes their disks, and
// [Cluster.Start] boots them, few at the same time, and waits until their agents
// listen. Disks that are there already are used as they are: a directory that was
// opened before is the same cluster, after a power cut. The power of a node is cut
// ([Node.PowerCut]) and comes back ([Node.Start]), its cable gets bad
// ([vnet.Port.SetLink]), and some nodes can be parted from the others
// ([Cluster.Partition]). [Cluster.Save] leaves consoles and the newest frames of
// the LAN for whoever wants to know why.
package cluster
