// Package cloudnat plays the life of a Cloud NAT with the real command line against the stand-in provider: what may change, what is
// refused because it would cut connections, and what becomes of an IP that is not needed any more.
package cloudnat
