package account

import (
	"context"
	"errors"

	"leap.example/client/soledad"
	"leap.example/services/protocol/problem"
)

// bucket holds the notes of this package: of the device, never synced.
const bucket = "account"

// note returns a note, "" if there is none.
func (u *unlocked) note(ctx context.Context, key string) (value string, err error) {
	err = u.store.View(ctx, func(tx *soledad.Tx) error {
		v, err := tx.LocalGet(bucket, key)
		if errors.Is(err, problem.NotExist) {
			return nil
		}
		value = string(v)
		return err
	})
	return value, err
}

func (u *unlocked) setNote(ctx context.Context, key, value string) error {
	return u.store.Update(ctx, func(tx *soledad.Tx) error { return tx.LocalPut(bucket, key, []byte(value)) })
}
