package view

// A handmade is a map that somebody wrote, known by the hashes of its texts.
type handmade struct {
	name string
	run  native
	sums []string // SHA-256 of the text, see fingerprintOf.
}

var written = []handmade{
	{"Identity/disabled", disabled, []string{"25a01e2a5b00f1dd870020eb133745eaaf7146233d3c3da4b5d6160a7b1063e2"}},
	{"Identity/cert_expiry_by_fingerprint", fingerprints(func(emit func(key, value any), print string, date any) {
		emit(print, date)
	}), []string{"20a278e335c229a1e63dc3ccb05e51124908b1d26bcd3bd12e42ea4b7d65581b"}},
	{"Identity/cert_fingerprints_by_expiry", fingerprints(func(emit func(key, value any), print string, date any) {
		emit(date, print)
	}), []string{"841a164d82a128aeff5d84db49ae81c601a6b6f30a7b54efe6774763ec424da9"}},
	{
		"Identity/keys_by_email", keys(func(keys any) (any, bool) { return keys, true }),
		[]string{"06eb357361726c1587a468a56b58b1ef959de3ab4e028e3fbaf2e277b68bbcf7"},
	},
	{"Identity/pgp_key_by_email", keys(func(keys any) (any, bool) {
		o, ok := keys.(*object)
		if !ok {
			return absent{}, keys != nil
		}
		return o.get("pgp"), true
	}), []string{"53a8055ebf365febed6c4ecc3fcf9cd637f25829e9e0f44509f2eca8bdae2e80"}},
	{"Session/by_expires", expires, []string{"a772c03b33298894cb37405dbc08e1f7869bf5793f4861d5558ba3b4a181786f"}},
	{"Message/by_user_ids_to_show", shown(), []string{"4c43b4e70199434f3fed758ba7ee040d330d52f5e3db686ed36b73dcf2326718"}},
	{
		"Message/by_user_ids_to_show_and_created_at", shown("created_at"),
		[]string{"5070f22f3a898b764ff8aca4ac27a69abab252ec96279452687919f1ca7298ab"},
	},
	{"Ticket/by_includes_post_by", posters(), []string{"46c3877e2c84d4dfada1d8dda9f0c8dde3b251771b555b4d98e19c6fa9f7eb83"}},
	{
		"Ticket/by_includes_post_by_and_created_at", posters("created_at"),
		[]string{"05125a66864e1663cbc1f03cb636946db0c9e2aac3b6fb501df807477a0ebd8e"},
	},
	{
		"Ticket/by_includes_post_by_and_updated_at", posters("updated_at"),
		[]string{"546343f40c8d4313a43a7b05d88f256f546131aa798f6bcca9e0bae30c8eadcd"},
	},
	{
		"Ticket/by_includes_post_by_and_is_open_and_created_at", posters("is_open", "created_at"),
		[]string{"c6bc939bbd644fc82d2694c12279bb657dcf5e119da00572df88e7975708efc0"},
	},
	{
		"Ticket/by_includes_post_by_and_is_open_and_updated_at", posters("is_open", "updated_at"),
		[]string{"ba6b6d17d9860dac0dc6f304e71e2986f83d2e20439508810096e418ba21d29b"},
	},
}
