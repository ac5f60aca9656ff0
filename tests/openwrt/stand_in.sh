# shellcheck shell=dash disable=SC1090,SC2034,SC2154,SC2317
# Stands in for OpenWrt round the init script: UCI from the file $UCI_CONFIG, and procd's calls written to $RECORD, their words
# separated by US (037). $1 is the init script, the rest a function of it with its arguments. Greylet's user has the number $USER_ID.

record() {
	local call="$1" word

	shift
	for word in "$@"; do
		call="$call$(printf '\037')$word"
	done
	printf '%s\n' "$call" >>"$RECORD"
}

for call in open_instance close_instance set_param append_param add_jail add_jail_mount add_jail_mount_rw add_reload_trigger add_raw_trigger; do
	eval "procd_$call() { record $call \"\$@\"; }"
done

# UCI, as lib/functions.sh and lib/config/uci.sh have it for scripts.
config() {
	unnamed=$((${unnamed:-0} + 1))
	current="${2:-cfg$unnamed}"
	sections="$sections $current"
	eval "CONFIG_${current}_TYPE=\$1"
}

option() {
	eval "CONFIG_${current}_$1=\$2"
	option_cb "$1" "$2"
}

list() {
	local length

	eval "length=\$((\${CONFIG_${current}_$1_LENGTH:-0} + 1))"
	eval "CONFIG_${current}_$1_LENGTH=$length CONFIG_${current}_$1_ITEM$length=\$2 CONFIG_${current}_$1=\"\${CONFIG_${current}_$1:+\${CONFIG_${current}_$1} }\$2\""
	list_cb "$1" "$2"
}

reset_cb() {
	option_cb() { return 0; }
	list_cb() { return 0; }
}

config_load() {
	[ "$1" = greylet ] && [ -f "$UCI_CONFIG" ] && . "$UCI_CONFIG"
}

config_get() {
	case "$2$3" in
	*[!A-Za-z0-9_]*) ;;
	*) eval "$1=\${CONFIG_$2_$3:-\$4}" ;;
	esac
}

# Its functions have these variables of their own, which what they call can see.
config_foreach() {
	local ___function="$1" ___type="$2" section cfgtype

	for section in $sections; do
		config_get cfgtype "$section" TYPE
		[ "$cfgtype" != "$___type" ] || "$___function" "$section"
	done
}

config_list_foreach() {
	local section="$1" option="$2" function="$3" val len c=1

	shift 3
	config_get len "$section" "${option}_LENGTH" 0
	while [ "$c" -le "$len" ]; do
		config_get val "$section" "${option}_ITEM$c"
		"$function" "$val" "$@"
		c=$((c + 1))
	done
}

# The rest of the system.
logger() {
	record logger "$@"
}

id() {
	[ "$1 $2" = '-u greylet' ] && [ -n "$USER_ID" ] && echo "$USER_ID"
}

chown() {
	local owner

	record chown "$@"
	# Somebody may be quicker than the script.
	if [ -n "$LINK_INSTEAD" ] && [ "$2" = root:root ]; then
		rm -r "$3" && ln -s "$LINK_INSTEAD" "$3"
	fi
	case "$2" in
	root:root) owner=0:0 ;;
	greylet:greylet) owner="$USER_ID:$USER_ID" ;;
	*) return 1 ;;
	esac
	[ "$1" = -h ] && command chown -h "$owner" "$3"
}

ip() {
	[ "$*" = '-4 addr show' ] && cat "$ROOT/addresses"
}

kill() {
	record kill "$@"
}

# procd knows the process before the service is set, and maybe another one after that.
ubus() {
	cat "$PROCESS"
}

jsonfilter() {
	cat
}

rc_procd() {
	"$@"
	service_triggers
	[ -z "$PROCESS_AFTER" ] || echo "$PROCESS_AFTER" >"$PROCESS"
}

script="$1"
shift
. "$script"
LISTS="$ROOT/etc/greylet"
STATE="$ROOT/etc/greylet/state"
STATE_LINK="$ROOT/var/lib/greylet"
SOCKETS="$ROOT/run/greylet"
ADDRESSES_IPV6="$ROOT/if_inet6"
"$@"
