%% Copyright (c) 2026, Archipel contributors
%% GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
%% SPDX-License-Identifier: GPL-3.0-or-later

%%% Nobody registers an account (XEP-0077) without being logged in.
%%%
%%% mod_register asks its option access_from of sessions only. What a client sends before it logs in is judged by the
%%% name to be registered and by address, so that anybody could take the names of machines. This module answers such
%%% requests before mod_register sees them, and hides the stream feature.

-module(mod_archipel).

-behaviour(gen_mod).

-export([start/2, stop/1, reload/3, depends/2, mod_options/1, mod_doc/0]).
-export([refuse/2, hide/2]).

start(Host, _Options) ->
    ejabberd_hooks:add(c2s_unauthenticated_packet, Host, ?MODULE, refuse, 10),
    ejabberd_hooks:add(c2s_pre_auth_features, Host, ?MODULE, hide, 90).

stop(Host) ->
    ejabberd_hooks:delete(c2s_unauthenticated_packet, Host, ?MODULE, refuse, 10),
    ejabberd_hooks:delete(c2s_pre_auth_features, Host, ?MODULE, hide, 90).

reload(_Host, _NewOptions, _OldOptions) ->
    ok.

depends(_Host, _Options) ->
    [].

mod_options(_Host) ->
    [].

mod_doc() ->
    #{desc => "Refuses registration to whoever is not logged in."}.

refuse(State, Packet) when element(1, Packet) =:= iq ->
    {stop, ejabberd_c2s:send(State, xmpp:make_error(Packet, xmpp:err_not_authorized()))};
refuse(State, _Packet) ->
    State.

hide(Features, _Host) ->
    [Feature || Feature <- Features, element(1, Feature) =/= feature_register].
