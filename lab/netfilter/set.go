package netfilter

import (
	"bytes"
	"fmt"

	"github.com/google/nftables"
)

// SyncSet queues what makes a named set or map exist with exactly the wanted elements. Elements that are there already are not
// touched, so a packet that looks up one of them never misses.
func SyncSet(conn *nftables.Conn, set *nftables.Set, want []nftables.SetElement) error {
	current, _ := conn.GetSetElements(set) // a set that does not exist yet has no elements
	if err := conn.AddSet(set, nil); err != nil {
		return err
	}
	remove, add := difference(current, want)
	if len(remove) > 0 {
		if err := conn.SetDeleteElements(set, remove); err != nil {
			return err
		}
	}
	if len(add) > 0 {
		return conn.SetAddElements(set, add)
	}
	return nil
}

// VerifySet returns an error unless the set in the namespace has exactly the wanted elements.
func VerifySet(name string, set *nftables.Set, want []nftables.SetElement) error {
	if !HasTable(name, set.Table.Name) {
		return fmt.Errorf("namespace %s: table %s is missing", name, set.Table.Name)
	}
	conn, closeConn, err := Open(name)
	if err != nil {
		return err
	}
	defer closeConn()
	current, err := conn.GetSetElements(set)
	if err != nil {
		return fmt.Errorf("namespace %s: table %s: set %s: %w", name, set.Table.Name, set.Name, err)
	}
	if remove, add := difference(current, want); len(remove)+len(add) > 0 {
		return fmt.Errorf("namespace %s: table %s: set %s differs: %d elements surplus, %d missing",
			name, set.Table.Name, set.Name, len(remove), len(add))
	}
	return nil
}

// difference returns the elements to remove from have and to add to it so that it becomes want.
func difference(have, want []nftables.SetElement) (remove, add []nftables.SetElement) {
	missing := map[string]nftables.SetElement{}
	for _, e := range want {
		missing[identity(e)] = e
	}
	for _, e := range have {
		if _, found := missing[identity(e)]; found {
			delete(missing, identity(e))
			continue
		}
		remove = append(remove, nftables.SetElement{Key: e.Key, KeyEnd: e.KeyEnd, Val: e.Val})
	}
	for _, e := range want {
		if _, found := missing[identity(e)]; found {
			add = append(add, e)
			delete(missing, identity(e))
		}
	}
	return remove, add
}

func identity(e nftables.SetElement) string {
	return string(bytes.Join([][]byte{e.Key, e.KeyEnd, e.Val}, []byte{'/'}))
}
