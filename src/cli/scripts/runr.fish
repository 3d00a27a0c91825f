# Completion of runr for fish. Written by `runr completion fish`.
# runr itself knows the answers, so this file need not change when flags do.
function __runr_complete
    set -l words (commandline --cut-at-cursor --current-process --tokenize)
    set -l current (commandline --cut-at-cursor --current-token)
    set -l candidates ($words[1] __complete -- $words[2..] "$current" 2>/dev/null)
    if set -q candidates[1]
        printf '%s\n' $candidates
    else
        __fish_complete_path $current
    end
end
complete --command runr --no-files --arguments '(__runr_complete)'
