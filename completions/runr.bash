# Completion of runr for bash. Written by `runr completion bash`.
# runr itself knows the answers, so this file need not change when flags do.
_runr() {
    local line=${COMP_LINE:0:COMP_POINT} words=() current prefix candidate
    # bash cuts words at : and =, but `alpine:3` and `--network=host` are one word each.
    read -ra words <<<"$line"
    if [[ -z $line || $line == *[[:space:]] ]]; then words+=(""); fi
    current=${words[${#words[@]} - 1]}
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        COMPREPLY+=("$candidate")
    done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
    # What readline replaces begins behind the last : or =.
    prefix=${current%"${current##*[:=]}"}
    if [[ -n $prefix ]]; then COMPREPLY=("${COMPREPLY[@]#"$prefix"}"); fi
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=/:] ]]; then compopt -o nospace; fi
}
complete -o default -F _runr runr
